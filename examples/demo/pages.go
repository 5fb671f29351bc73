package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sessiontrack/sessiontrack"
)

//go:embed web
var web embed.FS

var (
	pages          = template.Must(template.ParseFS(web, "web/*.html"))
	staticFiles, _ = fs.Sub(web, "web/static") // errs for a malformed name only
)

// csp allows the style sheet and pictures of this application, and nothing else.
const csp = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; " +
	"form-action 'none'; frame-ancestors 'none'"

// me answers with the caller and its session: every path of the application that
// needs a user would begin like this, or be wrapped in tracker.Require.
func (a *application) me(w http.ResponseWriter, r *http.Request) {
	a.tracker.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessiontrack.FromContext(r.Context())
		user := a.users.byID[session.UserID]
		if user == nil { // the account was deleted, and its sessions are still to be ended
			refuse(w, notFound)
			return
		}
		body, err := sessionJSON(session, user.id)
		if err != nil {
			refuse(w, internal)
			return
		}
		writeJSON(w, map[string]any{"user": user.json(), "session": body})
	})).ServeHTTP(w, r)
}

// sessionJSON is the session as both API families write the caller's own.
func sessionJSON(session sessiontrack.Session, userID int) (map[string]any, error) {
	text, err := json.Marshal(session)
	if err != nil {
		return nil, err
	}
	body := make(map[string]any)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if err := decoder.Decode(&body); err != nil {
		return nil, err
	}
	body["userId"], body["online"], body["current"] = userID, true, true
	return body, nil
}

func (a *application) start(w http.ResponseWriter, r *http.Request) { page(w, r, "index.html") }
func (a *application) docs(w http.ResponseWriter, r *http.Request)  { page(w, r, "docs.html") }

func page(w http.ResponseWriter, r *http.Request, name string) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	var body bytes.Buffer
	data := struct{ Base, Password string }{scheme + "://" + r.Host, password}
	if err := pages.ExecuteTemplate(&body, name, data); err != nil {
		refuse(w, internal)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(body.Bytes())
}

// static serves the embedded files; folders are not listed.
func static(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	content, err := fs.ReadFile(staticFiles, name) // refuses every path that leads out
	if err != nil {
		refuse(w, notFound)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=300")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}

// avatar draws somebody's initials: the pictures that the directory tells of.
func (a *application) avatar(w http.ResponseWriter, r *http.Request) {
	id, isSVG := strings.CutSuffix(r.PathValue("name"), ".svg")
	user := a.users.byID[id]
	if !isSVG || user == nil {
		refuse(w, notFound)
		return
	}
	var initials strings.Builder
	for word := range strings.FieldsSeq(user.fullName) {
		first, _ := utf8.DecodeRuneInString(word)
		initials.WriteRune(first)
	}
	w.Header().Set("Content-Type", "image/svg+xml; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	w.Header().Set("Cache-Control", "public, max-age=86400")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	fmt.Fprintf(
		w,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 48 48"><rect width="48" height="48" rx="24" fill="hsl(%d 45%% 38%%)"/>`+
			`<text x="24" y="30" font-family="sans-serif" font-size="17" fill="#fff" text-anchor="middle">%s</text></svg>`,
		user.id*47%360,
		template.HTMLEscapeString(initials.String()),
	)
}

// healthz tells the tracker's state in a word, and asks the store nothing.
func (a *application) healthz(w http.ResponseWriter, _ *http.Request) {
	health := a.tracker.Health()
	if health.State == sessiontrack.HealthAway {
		refuse(w, unavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = fmt.Fprintln(w, health.State)
}
