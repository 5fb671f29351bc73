package dashboard

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n, asked, failure := 12, 0, error(nil)
		h := Pill(func(context.Context) (int, error) {
			asked++
			return n, failure
		}, &PillOptions{Text: "{n} <here> & there", Fresh: 10 * time.Second})
		w := get(t, h, "/online.svg")
		require.Equal(t, http.StatusOK, w.Code)
		assert.Equal(t, "image/svg+xml", w.Header().Get("Content-Type"))
		assert.Equal(t, "public, max-age=10", w.Header().Get("Cache-Control"))
		assert.Contains(t, w.Body.String(), "12 &lt;here&gt; &amp; there")
		for decoder := xml.NewDecoder(strings.NewReader(w.Body.String())); ; {
			if _, err := decoder.Token(); err == io.EOF {
				break
			} else {
				require.NoError(t, err)
			}
		}
		n = 13
		w = get(t, h, "/online.svg", "Accept", "application/json")
		assert.JSONEq(t, `{"online":12}`, w.Body.String(), "shared for a while")
		assert.Equal(t, "application/json", w.Header().Get("Content-Type"))
		time.Sleep(10 * time.Second)
		assert.JSONEq(t, `{"online":13}`, get(t, h, "/online.svg?format=json").Body.String())
		assert.Equal(t, 2, asked)

		time.Sleep(10 * time.Second)
		failure = errors.New("away")
		w = get(t, h, "/online.svg")
		assert.Equal(t, http.StatusServiceUnavailable, w.Code)
		assert.Equal(t, "5", w.Header().Get("Retry-After"))
		assert.NotContains(t, w.Body.String(), "away")
		failure = nil
		assert.Equal(t, http.StatusOK, get(t, h, "/online.svg").Code)

		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/online.svg", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code)
		w = httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/online.svg", nil))
		assert.Empty(t, w.Body.String())
	})
}

func TestPillRefusesOptions(t *testing.T) {
	t.Parallel()
	count := func(context.Context) (int, error) { return 0, nil }
	assert.PanicsWithValue(t, "dashboard: Pill: count is nil", func() { Pill(nil, nil) })
	assert.PanicsWithValue(t, `dashboard: PillOptions.Text "here" must have {n} in it, and at most 200 bytes`,
		func() { Pill(count, &PillOptions{Text: "here"}) })
	assert.PanicsWithValue(t, "dashboard: PillOptions.Fresh 2h0m0s must be from 1s to 1h",
		func() { Pill(count, &PillOptions{Fresh: 2 * time.Hour}) })
}
