package dashboard

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"path"
	"strings"
)

//go:embed web
var web embed.FS

//go:embed messages.json
var messagesJSON []byte

// english is every text of the page, by its key.
var english = parseMessages(messagesJSON)

func parseMessages(text []byte) map[string]string {
	var out map[string]string
	if err := json.Unmarshal(text, &out); err != nil {
		panic("dashboard: messages.json: " + err.Error())
	}
	return out
}

// Messages returns the page's texts in English, by the keys that
// [Options.Messages] takes. Words in braces are filled in by the page. The map is
// the caller's own.
func Messages() map[string]string { return maps.Clone(english) }

// asset is one file as it is sent.
type asset struct {
	body, zipped []byte
	mediaType    string
	etag         string
}

// handler serves the page. It does not change once made.
type handler struct {
	prefix string
	policy string
	files  map[string]asset // by path below the prefix; "" is the page
}

// Handler returns the page and its assets, for any prefix. It answers GET and
// HEAD, to everybody: nothing in it is secret. It panics where an option is not
// valid, with the option's name; nil means the defaults.
func Handler(o *Options) http.Handler {
	opts, err := o.withDefaults()
	if err != nil {
		panic(err)
	}
	h := &handler{prefix: opts.Prefix, policy: opts.policy(), files: map[string]asset{}}
	h.addFiles()
	h.add("config.json", opts.config())
	return h
}

// policy is the Content-Security-Policy (ASVS 3.4.3): the page's own scripts and
// styles, its own origin to talk to, and no markup made from text at all.
func (o *Options) policy() string {
	images := append([]string{"'self'"}, o.ImageOrigins...)
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
		"img-src " + strings.Join(images, " "),
		"object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'",
		"require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
}

// config is what the page must know of its host, as JSON: no inline script, no
// data of anybody.
func (o *Options) config() []byte {
	messages := Messages()
	maps.Copy(messages, o.Messages)
	origins := o.ImageOrigins
	if origins == nil {
		origins = []string{}
	}
	out, err := json.Marshal(struct {
		AdminPath     string            `json:"adminPath"`
		OnlinePath    string            `json:"onlinePath"`
		LoginPath     string            `json:"loginPath"`
		LogoutPath    string            `json:"logoutPath"`
		SignInPage    string            `json:"signInPage"`
		Credentials   string            `json:"credentials"`
		SessionHeader string            `json:"sessionHeader"`
		ImageOrigins  []string          `json:"imageOrigins"`
		Language      string            `json:"language"`
		Messages      map[string]string `json:"messages"`
	}{
		o.AdminPath, o.OnlinePath, o.LoginPath, o.LogoutPath, o.SignInPage,
		o.Credentials, o.SessionHeader, origins, o.Language, messages,
	})
	if err != nil { // strings only: it cannot be
		panic("dashboard: " + err.Error())
	}
	return out
}

func (h *handler) addFiles() {
	err := fs.WalkDir(web, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := web.ReadFile(name)
		h.add(strings.TrimPrefix(name, "web/"), body)
		return err
	})
	if err != nil { // embedded: it cannot be
		panic("dashboard: " + err.Error())
	}
}

func (h *handler) add(name string, body []byte) {
	sum := sha256.Sum256(body)
	file := asset{
		body:      body,
		mediaType: mediaType(name),
		etag:      `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
	}
	if zipped := zip(body); len(zipped) < len(body) {
		file.zipped = zipped
	}
	if name == "index.html" {
		name = ""
	}
	h.files[name] = file
}

// mediaType does not ask the machine's own table, which may say anything.
func mediaType(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".json":
		return "application/json; charset=utf-8"
	case ".png":
		return "image/png"
	}
	return mime.FormatMediaType("text/plain", map[string]string{"charset": "utf-8"})
}

func zip(body []byte) []byte {
	var out bytes.Buffer
	writer, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // a known level
	_, _ = writer.Write(body)                                    // a buffer does not fail
	_ = writer.Close()
	return out.Bytes()
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.setHeaders(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	name, ok := h.name(r)
	if !ok {
		redirectToFolder(w, r)
		return
	}
	file, ok := h.files[name]
	if !ok {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	file.serve(w, r)
}

// setHeaders protects the page and its assets alike (ASVS 3.4.3 to 3.4.8, 3.5.8).
func (h *handler) setHeaders(header http.Header) {
	header.Set("Content-Security-Policy", h.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// name returns the path below the prefix. It is false for the prefix without its
// slash, against which relative references would miss.
func (h *handler) name(r *http.Request) (string, bool) {
	full := r.URL.Path
	if full == strings.TrimSuffix(h.prefix, "/") {
		return "", false
	}
	if rest, cut := strings.CutPrefix(full, h.prefix); cut {
		return rest, true
	}
	return strings.TrimPrefix(full, "/"), true
}

// redirectToFolder adds the missing slash. The target is relative, because the
// path that the browser sees may have lost a part on its way here.
func redirectToFolder(w http.ResponseWriter, r *http.Request) {
	original, err := url.ParseRequestURI(r.RequestURI)
	if err != nil || path.Base(original.Path) == "/" {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	w.Header().Set("Location", "./"+url.PathEscape(path.Base(original.Path))+"/")
	w.WriteHeader(http.StatusPermanentRedirect)
}

func (a asset) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", a.mediaType)
	header.Set("Cache-Control", "no-cache") // kept, and asked for again by its tag
	header.Set("Vary", "Accept-Encoding")
	body, tag := a.body, a.etag
	if a.zipped != nil && acceptsGzip(r) {
		body, tag = a.zipped, strings.TrimSuffix(a.etag, `"`)+`-gz"`
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", tag)
	if matches(r.Header.Get("If-None-Match"), tag) {
		header.Del("Content-Encoding")
		header.Del("Content-Type")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client has gone: nobody to tell
	}
}

// acceptsGzip is true where the header names gzip and does not refuse it
// (RFC 9110 §12.5.3).
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, weight, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(part), " ", ""), ";")
		if coding == "gzip" && strings.Trim(strings.TrimPrefix(weight, "q="), "0.") != "" {
			return true
		}
		if coding == "gzip" && weight == "" {
			return true
		}
	}
	return false
}

// matches compares tags weakly (RFC 9110 §13.1.2).
func matches(header, tag string) bool {
	for candidate := range strings.SplitSeq(header, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
			return true
		}
	}
	return false
}
