package sessiontrack

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

// maxNext bounds the path that a sign-in leads back to, in bytes.
const maxNext = 2048

// RedirectPages returns an [Options.Refuse] for applications with pages. A browser that asks for a
// page and has no good session (401) is sent to the sign-in by 303:
//
//	login?next=/where/it/was&reason=idle
//
// next is a local path with its query, and is there for GET only. reason is the session's end
// reason, or the problem's code for a token past its expiry; it is left out where there is nothing
// to tell. Every other refusal of a page, the 503 of an outage above all, is a small page in HTML
// with the refusal's own status. Requests that ask for no page get [WriteRefusal].
//
// Name the sign-in's path in [Options.SessionOptional]: without that a refused request for the
// sign-in itself gets a page in place of a redirect to where it is. The sign-in must not go where
// next says unchecked: see [NextPath].
//
// login is a local path such as "/login", or an http or https URL; either may have a query.
// RedirectPages panics for anything else.
func RedirectPages(login string) func(http.ResponseWriter, *http.Request, Refusal) {
	target, err := url.Parse(login)
	if err != nil || target.Fragment != "" || target.User != nil || text.Visible(login, len(login)) != login ||
		!plainPath(target.Path) || target.Host == "" && target.Scheme != "" ||
		target.Host != "" && target.Scheme != "http" && target.Scheme != "https" {
		panic(fmt.Sprintf("sessiontrack: RedirectPages: %q: want a path that begins with a slash, or an http or https URL "+
			"with a path, and no fragment", login))
	}
	return func(w http.ResponseWriter, r *http.Request, refusal Refusal) {
		switch {
		case !wantsPage(r):
			WriteRefusal(w, r, refusal)
		case refusal.Status != http.StatusUnauthorized, target.Host == "" && asksFor(r, target.Path):
			refusal.problem().WritePage(w)
		default:
			h := w.Header()
			h.Set("Location", signInURL(target, r, refusal))
			h.Set("Cache-Control", "no-store")
			w.WriteHeader(http.StatusSeeOther)
		}
	}
}

// wantsPage reports whether a browser will show the answer to a person. Browsers that send no
// Sec-Fetch-Mode, as over plain HTTP, name text/html where they navigate.
func wantsPage(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// signInURL is where a refused request for a page is sent.
func signInURL(login *url.URL, r *http.Request, refusal Refusal) string {
	to := *login
	add := func(name, value string) {
		if to.RawQuery != "" {
			to.RawQuery += "&"
		}
		to.RawQuery += name + "=" + strings.ReplaceAll(url.QueryEscape(value), "%2F", "/")
	}
	if next := askedPath(r); r.Method == http.MethodGet && localPath(next) {
		add("next", next)
	}
	switch reason := string(refusal.Reason); {
	case reason != "":
		add("reason", reason)
	case refusal.Code != problemAnonymous.Code && refusal.Code != problemInvalid.Code:
		add("reason", refusal.Code)
	}
	return to.String()
}

// askedPath is what the browser has asked for: the path and query before any prefix was stripped.
func askedPath(r *http.Request) string {
	if strings.HasPrefix(r.RequestURI, "/") {
		return r.RequestURI
	}
	return r.URL.RequestURI()
}

// asksFor reports whether a request is for a path, before or after a prefix was stripped.
func asksFor(r *http.Request, path string) bool {
	asked, _, _ := strings.Cut(askedPath(r), "?")
	return r.URL.Path == path || asked == path
}

// localPath reports whether every browser reads a reference as a path of this site. "//host" and
// "/\host" name another one, and browsers drop tabs and line ends (WHATWG URL §4.4).
func localPath(reference string) bool {
	if len(reference) > maxNext || text.Visible(reference, maxNext) != reference || !strings.HasPrefix(reference, "/") {
		return false
	}
	u, err := url.Parse(reference)
	return err == nil && u.Scheme == "" && u.Host == "" && u.Fragment == "" &&
		plainPath(u.Path) && text.Visible(u.Path, maxNext) == u.Path
}

// NextPath returns where a sign-in should lead: the form value or query parameter "next" of its
// request where that is a path of this site, else fallback. Whoever redirects to an unchecked next
// sends users wherever a link of another site says (OWASP ASVS 3.7.2).
func NextPath(r *http.Request, fallback string) string {
	if next := r.FormValue("next"); localPath(next) {
		return next
	}
	return fallback
}
