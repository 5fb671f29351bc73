package dashboard

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func get(t *testing.T, h http.Handler, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// paths are everything that a handler serves, below its prefix.
func paths(h http.Handler) []string { return slices.Sorted(maps.Keys(h.(*handler).files)) }

// pathOf is where a handler serves a file.
func pathOf(t *testing.T, h http.Handler, name string) string {
	t.Helper()
	all := paths(h)
	i := slices.IndexFunc(all, func(path string) bool { return strings.HasSuffix(path, "/"+name) })
	require.GreaterOrEqual(t, i, 0, name)
	return all[i]
}

// sources are the files that the page is made of, by their names.
func sources(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	require.NoError(t, fs.WalkDir(web, "web", func(name string, entry fs.DirEntry, err error) error {
		if !entry.IsDir() {
			body, _ := web.ReadFile(name)
			out[strings.TrimPrefix(name, "web/")] = string(body)
		}
		return err
	}))
	return out
}

func TestHandlerServesAtAnyPrefix(t *testing.T) {
	t.Parallel()
	mounts := map[string]struct{ strip, prefix, base string }{
		"default":       {"", "", "/dashboard/"},
		"own prefix":    {"", "/ops/sessions", "/ops/sessions/"},
		"stripped":      {"/x/y", "", "/x/y/"},
		"stripped, own": {"/a", "/b/", "/a/b/"},
		"top":           {"", "/", "/"},
	}
	for name, mount := range mounts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := Handler(&Options{Prefix: mount.prefix})
			h := http.StripPrefix(mount.strip, page)
			for _, path := range paths(page) {
				w := get(t, h, mount.base+path)
				assert.Equal(t, http.StatusOK, w.Code, path)
				assert.NotEmpty(t, w.Body.String(), path)
			}
			folder, _, _ := strings.Cut(pathOf(t, page, "js/main.js"), "/")
			for _, path := range []string{"index.html", "web", "js/main.js", "config.json", "../handler.go", "nothing"} {
				assert.Equal(t, http.StatusNotFound, get(t, h, mount.base+path).Code, path)
			}
			for _, path := range []string{"", "/", "/index.html", "/js", "/messages.json", "/../js/main.js"} {
				assert.Equal(t, http.StatusNotFound, get(t, h, mount.base+folder+path).Code, path)
			}
		})
	}
}

func TestHandlerAddsTheMissingSlash(t *testing.T) {
	t.Parallel()
	w := get(t, Handler(nil), "/dashboard")
	assert.Equal(t, http.StatusPermanentRedirect, w.Code)
	assert.Equal(t, "./dashboard/", w.Header().Get("Location"))

	mux := http.NewServeMux()
	mux.Handle("/ops/", http.StripPrefix("/ops", Handler(nil)))
	w = get(t, mux, "/ops/dashboard")
	assert.Equal(t, "./dashboard/", w.Header().Get("Location"))

	for _, path := range []string{"//evil.example", "/evil.example"} { // never to another host
		h := http.StripPrefix(path, Handler(&Options{Prefix: "/"}))
		location := get(t, h, path).Header().Get("Location")
		assert.True(t, location == "" || strings.HasPrefix(location, "./"), location)
	}
}

// A pattern with the slash alone has the mux redirect, by itself and to a path that lacks
// what the proxy cut.
func TestMountedBehindAProxyThatCutsAPrefix(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	page := Handler(nil)
	mux.HandleFunc("GET /", http.NotFound)
	mux.Handle("GET /dashboard", page)
	mux.Handle("GET /dashboard/", page)
	application := httptest.NewServer(mux)
	t.Cleanup(application.Close)
	target, err := url.Parse(application.URL)
	require.NoError(t, err)
	proxy := httptest.NewServer(http.StripPrefix("/app", httputil.NewSingleHostReverseProxy(target)))
	t.Cleanup(proxy.Close)
	answer, err := http.Get(proxy.URL + "/app/dashboard")
	require.NoError(t, err)
	defer answer.Body.Close()
	assert.Equal(t, http.StatusOK, answer.StatusCode)
	assert.Equal(t, "/app/dashboard/", answer.Request.URL.Path)
}

func TestHandlerHeaders(t *testing.T) {
	t.Parallel()
	h := Handler(&Options{ImageOrigins: []string{"https://img.example.com", "https://cdn.example.com:8443"}})
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
		"img-src 'self' https://img.example.com https://cdn.example.com:8443; object-src 'none'; base-uri 'none'; " +
		"form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
	for _, path := range append(paths(h), "nothing") {
		header := get(t, h, "/dashboard/"+path).Header()
		want := "default-src 'none'; frame-ancestors 'none'"
		if path == "" {
			want = policy
		}
		assert.Equal(t, want, header.Get("Content-Security-Policy"), path)
		assert.Equal(t, "nosniff", header.Get("X-Content-Type-Options"), path)
		assert.Equal(t, "no-referrer", header.Get("Referrer-Policy"), path)
		assert.Equal(t, "same-origin", header.Get("Cross-Origin-Opener-Policy"), path)
		assert.Equal(t, "same-origin", header.Get("Cross-Origin-Resource-Policy"), path)
		assert.NotEmpty(t, header.Get("Content-Type"), path)
		assert.Empty(t, header.Values("Set-Cookie"), path)
	}
}

func TestHandlerMethods(t *testing.T) {
	t.Parallel()
	h := Handler(nil)
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, "/dashboard/", nil))
		assert.Equal(t, http.StatusMethodNotAllowed, w.Code, method)
		assert.Equal(t, "GET, HEAD", w.Header().Get("Allow"), method)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/dashboard/"+pathOf(t, h, "style.css"), nil))
	assert.Equal(t, http.StatusOK, w.Code)
	assert.Empty(t, w.Body.String())
}

func TestHandlerAnswersWithTags(t *testing.T) {
	t.Parallel()
	h := Handler(nil)
	path := "/dashboard/" + pathOf(t, h, "js/main.js")
	plain := get(t, h, path)
	zipped := get(t, h, path, "Accept-Encoding", "br, gzip;q=0.8")
	require.Equal(t, "gzip", zipped.Header().Get("Content-Encoding"))
	reader, err := gzip.NewReader(zipped.Body)
	require.NoError(t, err)
	body, err := io.ReadAll(reader)
	require.NoError(t, err)
	assert.Equal(t, plain.Body.String(), string(body))
	assert.NotEqual(t, plain.Header().Get("ETag"), zipped.Header().Get("ETag"))
	assert.Empty(t, get(t, h, path, "Accept-Encoding", "gzip;q=0").Header().Get("Content-Encoding"))

	again := get(t, h, path, "If-None-Match", `"x", W/`+plain.Header().Get("ETag"))
	assert.Equal(t, http.StatusNotModified, again.Code)
	assert.Empty(t, again.Body.String())
	assert.Equal(t, http.StatusOK, get(t, h, path, "If-None-Match", `"x"`).Code)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	h := Handler(&Options{LoginPath: "/login", Language: "pl", Messages: map[string]string{"action.retry": "Spróbuj ponownie", "sessions.few": "{n} sesje"}})
	var config struct {
		AdminPath, OnlinePath, LoginPath, SessionHeader, Language string
		ImageOrigins                                              []string
		Messages                                                  map[string]string
	}
	require.NoError(t, json.Unmarshal(get(t, h, "/dashboard/"+pathOf(t, h, "config.json")).Body.Bytes(), &config))
	assert.Equal(t, "/api/user-sessions/", config.AdminPath)
	assert.Equal(t, "/api/v1/online/", config.OnlinePath)
	assert.Equal(t, "/login", config.LoginPath)
	assert.Equal(t, "x-session-id", config.SessionHeader)
	assert.Equal(t, "pl", config.Language)
	assert.NotNil(t, config.ImageOrigins)
	assert.Equal(t, "Spróbuj ponownie", config.Messages["action.retry"])
	assert.Equal(t, "{n} sesje", config.Messages["sessions.few"])
	assert.Equal(t, "Live", config.Messages["connection.live"])
	assert.Equal(t, "Try again", Messages()["action.retry"], "a host's texts must not change the table")
}

func TestHandlerRefusesOptions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		names string
		o     *Options
	}{
		{`Prefix "dashboard/"`, &Options{Prefix: "dashboard/"}},
		{`AdminPath "https:`, &Options{AdminPath: "https://evil.example/api/"}},
		{`OnlinePath "//evil`, &Options{OnlinePath: "//evil.example/"}},
		{`LoginPath`, &Options{LoginPath: `/\evil.example`}},
		{`LogoutPath`, &Options{LogoutPath: "javascript:alert(1)"}},
		{`SignInPage`, &Options{SignInPage: "javascript:alert(1)"}},
		{`Credentials`, &Options{Credentials: "data:text/javascript,1"}},
		{`ImageOrigins "https://a.b; `, &Options{ImageOrigins: []string{"https://a.b; script-src *"}}},
		{`ImageOrigins "https://*.a.b`, &Options{ImageOrigins: []string{"https://*.a.b"}}},
		{`ImageOrigins "http://a.b`, &Options{ImageOrigins: []string{"http://a.b"}}},
		{`ImageOrigins "https://a.b/x`, &Options{ImageOrigins: []string{"https://a.b/x"}}},
		{`ImageOrigins "https:`, &Options{ImageOrigins: []string{"https:"}}},
		{`Messages has no text named "no.such"`, &Options{Messages: map[string]string{"no.such": "x"}}},
		{`Messages has no text named "action.retry.few"`, &Options{Messages: map[string]string{"action.retry.few": "x"}}},
		{`Messages has no text named "sessions.sometimes"`, &Options{Messages: map[string]string{"sessions.sometimes": "x"}}},
	} {
		t.Run(test.names, func(t *testing.T) {
			t.Parallel()
			defer func() {
				err, _ := recover().(error)
				require.ErrorContains(t, err, "dashboard: Options."+test.names)
			}()
			Handler(test.o)
		})
	}
}

// What the page is made of cannot run text as code: docs/checks.md S23 and S24 hold by
// its having no such call.
func TestAssetsHaveNoWayToRunText(t *testing.T) {
	t.Parallel()
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|setTimeout\(["'` + "`" + `]|DOMParser|createContextualFragment|srcdoc|unsafe-|localStorage|sessionStorage|document\.cookie|[?&](token|session)=`)
	external := regexp.MustCompile(`(https?:)?//[a-z0-9-]+(\.[a-z0-9-]+)+`)
	inline := regexp.MustCompile(`(?i)\son[a-z]+\s*=|\sstyle\s*=|<style|<script(\s+type="module")?>|javascript:`)
	for path, text := range sources(t) {
		if strings.HasSuffix(path, "LICENSE") {
			continue
		}
		if path == "uplot/uPlot.js" { // its own comment says where it is from
			text = strings.Replace(text, "/*! https://github.com/leeoniya/uPlot (v1.6.32) */", "", 1)
		}
		if path == "js/views.js" { // what somebody saves, because they ask for it
			text = strings.ReplaceAll(text, "localStorage", "")
		}
		assert.Empty(t, forbidden.FindAllString(text, -1), path)
		if strings.HasSuffix(path, ".css") || strings.HasSuffix(path, ".html") || strings.HasSuffix(path, ".js") {
			assert.Empty(t, external.FindAllString(text, -1), path)
		}
		if strings.HasSuffix(path, ".html") {
			assert.Empty(t, inline.FindAllString(text, -1), path)
		}
	}
}

// A session is signed in or has ended, a person is online or away, and one ends a session
// or all of them: no text has another word for any of these.
func TestOneWordForOneIdea(t *testing.T) {
	t.Parallel()
	other := regexp.MustCompile(`(?i)\blog(ged)? ?out|\boffline|\bactive sessions?\b|\bexpired$|\bsign(ed)? out everywhere`)
	for key, text := range english {
		assert.NotRegexp(t, other, text, key)
	}
}

// Every text that the page asks for is in the table, and none is there for nothing.
func TestMessagesAreComplete(t *testing.T) {
	t.Parallel()
	used, families := map[string]bool{}, []string{}
	calls := regexp.MustCompile("\\b(t|count|known)\\((?:([\"'])([^\"']+)[\"']|`([^`$]+)\\$\\{|\\[[^\\]]*\\][^`]*`([^`$]+)\\$\\{[^`]*` : \"([^\"]+)\")")
	attributes := regexp.MustCompile(`data-t(?:-label)?="([^"]+)"`)
	for path, body := range sources(t) {
		for _, match := range attributes.FindAllStringSubmatch(body, -1) {
			used[match[1]] = true
		}
		if !strings.HasPrefix(path, "js/") {
			continue
		}
		for _, match := range calls.FindAllStringSubmatch(body, -1) {
			switch {
			case match[4] != "":
				families = append(families, match[4])
			case match[5] != "":
				families, used[match[6]] = append(families, match[5]), true
			case match[1] == "known":
				families = append(families, match[3]+".")
			case match[1] == "count":
				used[match[3]+".one"], used[match[3]+".other"] = true, true
			default:
				used[match[3]] = true
			}
		}
	}
	require.NotEmpty(t, families)
	for key := range used {
		assert.Contains(t, english, key)
	}
	for key, text := range english {
		assert.NotEmpty(t, text, key)
		inFamily := slices.ContainsFunc(families, func(family string) bool { return strings.HasPrefix(key, family) })
		assert.True(t, used[key] || inFamily, "%s is used nowhere", key)
	}
}

func TestNoFileIsLong(t *testing.T) {
	t.Parallel()
	for path, body := range sources(t) {
		if !strings.HasPrefix(path, "uplot/") {
			assert.LessOrEqual(t, strings.Count(body, "\n"), 400, path)
		}
	}
}
