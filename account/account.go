// Package account is the page "Your devices": a signed-in user sees where they are signed in, what
// has ended and why, signs out one device or all others, and says "this was not me".
//
//	mux.Handle("/account/devices/", account.Handler(&account.Options{Tracker: tracker}))
//
// The page works without script, by forms and the session cookie, with cross-origin protection. With
// script it shows times in the reader's zone and keeps itself up to date. It asks the Tracker's
// online family, so [sessiontrack.Options.Refuse] leads whoever is not signed in to the sign-in: see
// [sessiontrack.RedirectPages].
//
// Beside the page, below its prefix, lies session.js: an ES module for the host's own pages that
// tells the time left without extending it, warns before the end, extends, and tells the reason when
// the session is over (WCAG 2.2.1).
package account

import (
	"context"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/sessiontrack/sessiontrack"
)

// Options configures the page. Tracker is required.
type Options struct {
	// Tracker has the sessions. Its cookie authenticates the page's forms.
	Tracker *sessiontrack.Tracker
	// Prefix is the path under which the handler is mounted. It is cut where it is present;
	// otherwise it is taken as stripped already. Default "/account/devices/".
	Prefix string
	// Users is what the page asks for a user's sessions, at the prefix "/api/v1/online/". Default
	// Tracker.UserHandler(nil); give one whose options decide who may see their devices.
	Users http.Handler

	// CheckPassword, if not nil, is asked before anything is ended: the page wants the user's
	// password first. It reports whether the password is right, and should bound the attempts (OWASP
	// ASVS 6.3.1). After an error the answer is 503.
	CheckPassword func(ctx context.Context, userID, password string) (bool, error)

	// FrameAncestors are the origins that may show the page in a frame, such as
	// "https://app.example.com", or "'self'". Default: none may.
	FrameAncestors []string
	// Layout, if not nil, writes the page of the host with body in it. body is a section with its own
	// style sheet and script, by paths below the prefix; what it contains is escaped. The headers are
	// set, the Content-Security-Policy too: Layout may set another. Default: a page of its own.
	Layout func(w http.ResponseWriter, r *http.Request, body template.HTML)
	// Home is a link back to the application. Default: none.
	Home string

	// Language is the BCP 47 tag of Messages, for the page's lang and direction. Default "en".
	Language string
	// Messages replaces texts of the page, by the keys of [Messages].
	Messages map[string]string
}

// handler serves the page. It does not change once made.
type handler struct {
	o        Options
	policy   string
	messages map[string]string
	dir      string // "ltr" or "rtl"
	version  string // of the assets
}

// Handler returns the page and its assets. It panics where an option is not valid, with the option's
// name.
func Handler(o *Options) http.Handler {
	if o == nil || o.Tracker == nil {
		panic("account: Options.Tracker is nil: want the application's")
	}
	h := &handler{o: *o, messages: Messages()}
	if h.o.Prefix == "" {
		h.o.Prefix = "/account/devices/"
	}
	if !strings.HasPrefix(h.o.Prefix, "/") || !strings.HasSuffix(h.o.Prefix, "/") {
		panic(fmt.Sprintf("account: Options.Prefix is %q: want a path that begins and ends with a slash", h.o.Prefix))
	}
	if h.o.Users == nil {
		h.o.Users = h.o.Tracker.UserHandler(nil)
	}
	if h.o.Language == "" {
		h.o.Language = "en"
	}
	for key := range h.o.Messages {
		if _, known := h.messages[key]; !known {
			panic(fmt.Sprintf("account: Options.Messages has no text named %q", key))
		}
	}
	maps.Copy(h.messages, h.o.Messages)
	h.dir = directionOf(h.o.Language)
	h.policy = policyOf(h.o.FrameAncestors)
	h.version = assetVersion()
	return h
}

// policyOf is the Content-Security-Policy (OWASP ASVS 3.4.3): the page's own script and style, forms
// to itself, and markup from nowhere but the page's own answers.
func policyOf(ancestors []string) string {
	for _, origin := range ancestors {
		if strings.ContainsAny(origin, " ;,\t\r\n") || origin == "" || origin == "*" {
			panic(fmt.Sprintf("account: Options.FrameAncestors has %q: want an origin such as https://app.example.com", origin))
		}
	}
	if len(ancestors) == 0 {
		ancestors = []string{"'none'"}
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; " +
		"form-action 'self'; require-trusted-types-for 'script'; trusted-types account; " +
		"frame-ancestors " + strings.Join(ancestors, " ")
}

// directionOf tells in which direction a language is written.
func directionOf(language string) string {
	base, _, _ := strings.Cut(strings.ToLower(language), "-")
	if slices.Contains([]string{"ar", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"}, base) {
		return "rtl"
	}
	return "ltr"
}

// ServeHTTP answers for the page (GET), its actions (POST) and its assets (GET).
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, below := strings.CutPrefix(r.URL.Path, h.o.Prefix)
	switch {
	case !below && r.URL.Path+"/" == h.o.Prefix:
		// Relative, as all references are: a proxy may have cut a part of what the browser sees.
		w.Header().Set("Location", "./"+path.Base(h.o.Prefix)+"/")
		w.WriteHeader(http.StatusPermanentRedirect)
		return
	case !below:
		name = strings.TrimPrefix(r.URL.Path, "/")
	}
	h.setHeaders(w.Header())
	if content, ok := assets[name]; ok {
		if allowed(w, r, http.MethodGet, http.MethodHead) {
			content.serve(w, r)
		}
		return
	}
	switch name {
	case "":
		if allowed(w, r, http.MethodGet, http.MethodHead) {
			h.page(w, r)
		}
	case "end", "end-others", "report":
		if allowed(w, r, http.MethodPost) {
			h.act(w, r, name)
		}
	default:
		http.Error(w, "not found", http.StatusNotFound)
	}
}

// setHeaders protects the page and its assets alike (OWASP ASVS 3.4).
func (h *handler) setHeaders(header http.Header) {
	header.Set("Content-Security-Policy", h.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}

func allowed(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
	return false
}
