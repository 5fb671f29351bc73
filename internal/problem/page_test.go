package problem

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWritePage(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	New(503, "away", "<b>Try</b> again.").WritePage(w)
	assert.Equal(t, 503, w.Code)
	assert.Equal(t, "1", w.Header().Get("Retry-After"))
	assert.Equal(t, "no-store", w.Header().Get("Cache-Control"))
	assert.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
	assert.Equal(t, "text/html; charset=utf-8", w.Header().Get("Content-Type"))
	assert.Contains(t, w.Header().Get("Content-Security-Policy"), "default-src 'none'")
	assert.Contains(t, w.Body.String(), "<h1>Service Unavailable</h1>\n<p>&lt;b&gt;Try&lt;/b&gt; again.</p>")

	w = httptest.NewRecorder()
	New(401, "ended", "Over.").WritePage(w)
	assert.Equal(t, InvalidToken, w.Header().Get("WWW-Authenticate"))
}
