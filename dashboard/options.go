package dashboard

import (
	"fmt"
	"net/url"
	"strings"
)

// Options configures the page. Its zero value fits an application that mounts
// both families of handlers at their default paths. Every path is one of the
// page's own origin: absolute ("/api/…") or relative to the page ("../api/…").
type Options struct {
	// Prefix is the path under which the handler is mounted. It is cut where it
	// is present; otherwise it is taken as stripped already. Default "/dashboard/".
	Prefix string

	// AdminPath is where [sessiontrack.Tracker.AdminHandler] is mounted. Default
	// "/api/user-sessions/".
	AdminPath string

	// OnlinePath is where [sessiontrack.Tracker.UserHandler] is mounted. Default
	// "/api/v1/online/".
	OnlinePath string

	// LoginPath answers the page's sign-in form: POST with JSON "email" and
	// "password". An answer with "token.token" and "sessionId" is kept in memory
	// and sent as headers; any other success means that a cookie was set. Default:
	// no form.
	LoginPath string

	// LogoutPath ends the viewer's own session on POST. Default: no such button.
	LogoutPath string

	// SignInPage is a page of the host where people sign in, offered to whoever has
	// not. Default: none; LoginPath or Credentials may serve instead.
	SignInPage string

	// Credentials is an ES module of the host whose default export is an async
	// function that returns {token, sessionId}, either of which may be missing, or
	// null. It is called when the page starts and again after a 401, so that it can
	// refresh a token. Default: none, the session cookie is relied on.
	Credentials string

	// SessionHeader carries a session id that the page was handed. Default
	// "x-session-id".
	SessionHeader string

	// Title names the page in its bar and its window. Default "Sessions", or the text
	// "page.title" of Messages.
	Title string

	// Accent is the page's colour, as "#rrggbb". It must be dark enough to be read on the light
	// page (WCAG 2.2, 1.4.3); a lighter shade of it is made for the dark one. Default: blue.
	Accent string

	// Logo is a picture beside the title, 24 pixels high: a path of the page's own origin.
	// Default: the page's own mark.
	Logo string

	// Links lead to other pages, at the end of the bar. Default: none.
	Links []Link

	// DevicesPage is the host's page of one's own sessions, to which people are led who are
	// no administrators: a path of the page's own origin. Default: none; they are told that
	// the page is not for them.
	DevicesPage string

	// FrameAncestors are who may show the page in a frame: "'self'" and https origins. A
	// session cookie reaches a frame of another site only with SameSite=None. Default:
	// nobody.
	FrameAncestors []string

	// UserURL is the host's own page of a user, with {id} in the place of the user's id: a
	// path, or an https address. It is offered beside a person and a session. Default:
	// none.
	UserURL string

	// ImageOrigins are the origins that pictures of users may come from, such as
	// "https://img.example.com". They are the only ones beyond the page's own in its
	// Content-Security-Policy. Default: none; people without a picture are shown by
	// their initials.
	ImageOrigins []string

	// Language is the BCP 47 tag of Messages, for numbers, dates, and the page's lang
	// and direction. Default "en".
	Language string

	// Messages replaces texts of the page, by the keys of [Messages]. A key that
	// ends in a plural category (".one", ".few", ".other", …) may be joined by its
	// siblings where Language has more of them.
	Messages map[string]string
}

// withDefaults returns a copy that is complete, or what is wrong and where.
func (o *Options) withDefaults() (Options, error) {
	var out Options
	if o != nil {
		out = *o
	}
	setDefault(&out.Prefix, "/dashboard/")
	setDefault(&out.AdminPath, "/api/user-sessions/")
	setDefault(&out.OnlinePath, "/api/v1/online/")
	setDefault(&out.SessionHeader, "x-session-id")
	setDefault(&out.Language, "en")
	if !strings.HasPrefix(out.Prefix, "/") {
		return out, fmt.Errorf("dashboard: Options.Prefix %q must begin with a slash", out.Prefix)
	}
	out.Prefix = strings.TrimRight(out.Prefix, "/") + "/"
	out.AdminPath = strings.TrimRight(out.AdminPath, "/") + "/"
	out.OnlinePath = strings.TrimRight(out.OnlinePath, "/") + "/"
	return out, out.check()
}

func setDefault(field *string, value string) {
	if *field == "" {
		*field = value
	}
}

func (o *Options) check() error {
	paths := []struct{ name, value string }{
		{"AdminPath", o.AdminPath}, {"OnlinePath", o.OnlinePath},
		{"LoginPath", o.LoginPath}, {"LogoutPath", o.LogoutPath},
		{"SignInPage", o.SignInPage}, {"Credentials", o.Credentials}, {"Logo", o.Logo}, {"DevicesPage", o.DevicesPage},
	}
	for _, path := range paths {
		if !sameOriginPath(path.value) {
			return fmt.Errorf("dashboard: Options.%s %q must be a path of the page's own origin", path.name, path.value)
		}
	}
	if o.UserURL != "" && !(strings.Contains(o.UserURL, "{id}") && linkable(o.UserURL)) {
		return fmt.Errorf("dashboard: Options.UserURL %q must be a path or an https address with {id} in it", o.UserURL)
	}
	for _, origin := range o.ImageOrigins {
		if !imageOrigin(origin) {
			return fmt.Errorf("dashboard: Options.ImageOrigins %q must be an https origin without a path", origin)
		}
	}
	if err := o.checkBrand(); err != nil {
		return err
	}
	return o.checkMessages()
}

func (o *Options) checkMessages() error {
	for key := range o.Messages {
		if _, known := english[key]; known {
			continue
		}
		base, category, _ := cutLast(key, ".")
		if _, plural := english[base+".other"]; !plural || !pluralCategories[category] {
			return fmt.Errorf("dashboard: Options.Messages has no text named %q", key)
		}
	}
	return nil
}

// pluralCategories are those of Unicode's CLDR.
var pluralCategories = map[string]bool{"zero": true, "one": true, "two": true, "few": true, "many": true, "other": true}

func cutLast(s, sep string) (before, after string, found bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// sameOriginPath refuses whatever a browser could read as another origin: a
// scheme, "//host", and backslashes, which it takes for slashes.
func sameOriginPath(path string) bool {
	if strings.ContainsAny(path, "\\\r\n\t") || strings.HasPrefix(path, "//") {
		return false
	}
	parsed, err := url.Parse(path)
	return err == nil && parsed.Scheme == "" && parsed.Host == ""
}

// linkable is what people may be led to: a path of the page's own origin, or https.
func linkable(address string) bool {
	address = strings.ReplaceAll(address, "{id}", "id")
	parsed, err := url.Parse(address)
	return sameOriginPath(address) || err == nil && parsed.Scheme == "https" && parsed.Host != ""
}

// imageOrigin keeps a Content-Security-Policy in one piece: no separators, no
// wildcard, nothing but scheme, host and port.
func imageOrigin(origin string) bool {
	if strings.ContainsAny(origin, " ;,'\"*\\\r\n\t") {
		return false
	}
	parsed, err := url.Parse(origin)
	return err == nil && parsed.Scheme == "https" && parsed.Host != "" && origin == "https://"+parsed.Host
}
