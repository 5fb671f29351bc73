package dashboard

import (
	_ "embed"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strings"
)

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
	return &handler{prefix: opts.Prefix, policy: opts.policy(), files: bundle(opts.config(), opts.brand())}
}

// policy is the Content-Security-Policy (ASVS 3.4.3): the page's own scripts and
// styles, its own origin to talk to, and no markup made from text at all.
func (o *Options) policy() string {
	images := append([]string{"'self'"}, o.ImageOrigins...)
	ancestors := o.FrameAncestors
	if len(ancestors) == 0 {
		ancestors = []string{"'none'"}
	}
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
		"img-src " + strings.Join(images, " "),
		"object-src 'none'", "base-uri 'none'", "form-action 'self'", "frame-ancestors " + strings.Join(ancestors, " "),
		"require-trusted-types-for 'script'", "trusted-types 'none'",
	}, "; ")
}

// config is what the page must know of its host, as JSON: no inline script, no
// data of anybody.
func (o *Options) config() []byte {
	messages := Messages()
	maps.Copy(messages, o.Messages)
	if o.Title != "" {
		messages["page.title"] = o.Title
	}
	out, err := json.Marshal(struct {
		AdminPath     string            `json:"adminPath"`
		OnlinePath    string            `json:"onlinePath"`
		LoginPath     string            `json:"loginPath"`
		LogoutPath    string            `json:"logoutPath"`
		SignInPage    string            `json:"signInPage"`
		Credentials   string            `json:"credentials"`
		SessionHeader string            `json:"sessionHeader"`
		UserURL       string            `json:"userURL"`
		DevicesPage   string            `json:"devicesPage"`
		Logo          string            `json:"logo"`
		Links         []Link            `json:"links"`
		ImageOrigins  []string          `json:"imageOrigins"`
		Language      string            `json:"language"`
		Messages      map[string]string `json:"messages"`
	}{
		o.AdminPath, o.OnlinePath, o.LoginPath, o.LogoutPath, o.SignInPage,
		o.Credentials, o.SessionHeader, o.UserURL, o.DevicesPage, o.Logo,
		append([]Link{}, o.Links...), append([]string{}, o.ImageOrigins...), o.Language, messages,
	})
	if err != nil { // strings only: it cannot be
		panic("dashboard: " + err.Error())
	}
	return out
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, ok := h.name(r)
	h.setHeaders(w.Header(), name)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
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

// setHeaders protects the page and its assets alike (ASVS 3.4.3 to 3.4.8, 3.5.8). An asset
// that is opened by itself may do nothing at all.
func (h *handler) setHeaders(header http.Header, name string) {
	header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if name == "" {
		header.Set("Content-Security-Policy", h.policy)
	}
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
