package sessiontrack

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const frontend = "https://app.example.com"

// allowFrontend is a CORS middleware as docs/origins.md has it in mind.
func allowFrontend(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", frontend)
		next.ServeHTTP(w, r)
	})
}

// TestDocsOrigins holds docs/origins.md to the library, claim by claim.
func TestDocsOrigins(t *testing.T) {
	t.Parallel()
	across := []string{"Origin", frontend, "Sec-Fetch-Site", "same-site"}
	open := func(o *Options) (*fixture, http.Handler) {
		f := newFixture(t, o)
		mux := http.NewServeMux()
		mux.Handle("/api/v1/online/", f.UserHandler(nil))
		mux.Handle("/", f.echo())
		return f, allowFrontend(f.Middleware(mux))
	}
	ask := func(h http.Handler, method, path string, headers ...string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(method, path, append(headers, across...)...))
		return w
	}
	endOthers := "/api/v1/online/sessions/end-others"

	f, h := open(&Options{Cookie: &CookieOptions{}})
	_, token := f.login(t, "42")
	cookie := "__Host-session=" + token.Reveal()
	assert.Equal(t, 200, ask(h, "POST", "/orders", headerName, token.Reveal()).Code, "a token in a header needs nothing else")
	assert.Equal(t, 403, ask(h, "POST", "/orders", "Cookie", cookie).Code, "a cookie needs TrustedOrigins")
	refused := ask(h, "POST", endOthers, headerName, token.Reveal())
	require.Equal(t, 403, refused.Code, "so do the mounted handlers, whatever the request carries")
	assert.Contains(t, refused.Body.String(), "cross_origin")
	assert.Equal(t, frontend, refused.Header().Get("Access-Control-Allow-Origin"), "the page can read the refusal")

	f, h = open(&Options{Cookie: &CookieOptions{}, TrustedOrigins: []string{frontend}})
	_, token = f.login(t, "42")
	assert.Equal(t, 200, ask(h, "POST", "/orders", "Cookie", "__Host-session="+token.Reveal()).Code)
	assert.Equal(t, 200, ask(h, "POST", endOthers, headerName, token.Reveal()).Code)
	_, err := f.End(t.Context(), User("42"), Ending{Reason: ReasonAdmin})
	require.NoError(t, err)
	ended := ask(h, "GET", "/orders", headerName, token.Reveal())
	assert.Contains(t, ended.Body.String(), "session_ended")
	assert.Equal(t, frontend, ended.Header().Get("Access-Control-Allow-Origin"))
	assert.Equal(t, 204, ask(h, "OPTIONS", "/orders").Code, "a preflight request carries nothing and passes")
}
