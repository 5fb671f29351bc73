package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// appCSP is that of the pages for browsers: forms to this site, and the script that warns before the
// session ends.
const appCSP = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; " +
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// isForm reports whether the body is a form of a browser. curl says so of every body that it sends,
// and no form begins with a brace.
func isForm(r *http.Request) bool {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return false
	}
	body := bufio.NewReader(r.Body)
	first, _ := body.Peek(1)
	r.Body = struct {
		io.Reader
		io.Closer
	}{body, r.Body}
	return len(first) == 0 || first[0] != '{'
}

// browserPage writes one of the pages for browsers.
func browserPage(w http.ResponseWriter, status int, name string, data any) {
	var body bytes.Buffer
	if err := pages.ExecuteTemplate(&body, name, data); err != nil {
		refuse(w, internal)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", appCSP)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	w.WriteHeader(status)
	_, _ = w.Write(body.Bytes())
}

// signIn is what the page of the sign-in shows.
type signIn struct {
	Next     string
	Email    string
	Over     string // why the last session is over
	Error    string
	Password string
}

// sentences tell why a session is over; the word comes from the address, so only known ones count.
var sentences = map[string]string{
	"idle":          "You were signed out because nothing had happened for too long.",
	"lifetime":      "You were signed out because the session had reached its time limit.",
	"admin":         "An administrator has signed you out.",
	"password":      "You were signed out because the password was changed.",
	"user":          "You signed this device out from another one.",
	"limit":         "You were signed out because you signed in on another device.",
	"reported":      "You reported this device and were signed out.",
	"token_expired": "Your sign-in has expired.",
}

func (a *application) signInPage(w http.ResponseWriter, r *http.Request) {
	next := sessiontrack.NextPath(r, "/app")
	over := sentences[r.FormValue("reason")]
	browserPage(w, http.StatusOK, "login.html", signIn{Next: next, Over: over, Password: password})
}

// loginByForm answers the form of the sign-in page: it leads back to where the browser was going.
func (a *application) loginByForm(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		refuse(w, badRequest("The form cannot be read."))
		return
	}
	form := signIn{Next: sessiontrack.NextPath(r, "/app"), Email: r.PostForm.Get("email"), Password: password}
	fail := func(p problem) {
		form.Error = p.Detail
		browserPage(w, p.Status, "login.html", form)
	}
	user, ok := a.users.authenticate(form.Email, r.PostForm.Get("password"))
	if !ok {
		fail(wrongPassword)
		return
	}
	given := credentials{Remember: r.PostForm.Get("remember") != "", Client: "web"}
	if _, _, err := a.tracker.LoginWith(w, r, user.userID(), given.options()); err != nil {
		fail(loginProblem(r, err))
		return
	}
	w.Header().Set("Location", form.Next)
	w.WriteHeader(http.StatusSeeOther)
}

// logout ends the session: 204 for programs, and a way on for the form of a page.
func (a *application) logout(w http.ResponseWriter, r *http.Request) {
	if !isForm(r) {
		a.tracker.Logout(w, r)
		return
	}
	if err := a.tracker.EndCurrent(w, r); err != nil {
		a.tracker.Refuse(w, r, err)
		return
	}
	w.Header().Set("Location", "/login")
	w.WriteHeader(http.StatusSeeOther)
}

// app is a page that needs a session.
func (a *application) app(w http.ResponseWriter, r *http.Request) {
	session, _ := sessiontrack.FromContext(r.Context())
	name := session.UserID
	if user := a.users.byID[session.UserID]; user != nil {
		name = user.fullName
	}
	browserPage(w, http.StatusOK, "app.html", map[string]any{
		"Name": name, "ActedBy": session.ActedBy, "Since": session.LoginAt.Format(time.RFC1123),
	})
}

// freshFor is how long a password counts for what is sensitive.
const freshFor = 5 * time.Minute

// secretOfUser is what only somebody sees who has just proved who they are.
func (a *application) secretOfUser(w http.ResponseWriter, r *http.Request) {
	session, _ := sessiontrack.FromContext(r.Context())
	writeJSON(w, map[string]any{"secret": "The cake is in the second drawer.", "userId": session.UserID})
}

// stepUp takes the password anew. The answer has the session's new token: the old one is refused.
func (a *application) stepUp(w http.ResponseWriter, r *http.Request) {
	session, err := a.tracker.Authenticate(r)
	if err != nil {
		a.tracker.Refuse(w, r, err)
		return
	}
	given, problem := readPassword(http.MaxBytesReader(w, r.Body, maxBody))
	if problem != nil {
		refuse(w, *problem)
		return
	}
	user := a.users.byID[session.UserID]
	if user == nil {
		refuse(w, wrongPassword)
		return
	}
	if _, right := a.users.authenticate(user.email, given); !right {
		refuse(w, wrongPassword)
		return
	}
	_, token, err := a.tracker.StepUp(w, r, "pwd")
	if err != nil {
		if errors.Is(err, sessiontrack.ErrInvalidArgument) { // a derived session: its token has to be renewed
			refuse(w, badRequest("The session has no secret: sign in to get one."))
			return
		}
		a.tracker.Refuse(w, r, err)
		return
	}
	writeJSON(w, map[string]string{"sessionId": token.Reveal()})
}

// impersonate signs a superadmin in as somebody else. Their own session stays, and lists say who
// acts.
func (a *application) impersonate(w http.ResponseWriter, r *http.Request) {
	a.tracker.RequireRole(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessiontrack.FromContext(r.Context())
		user := a.users.byID[r.PathValue("userId")]
		switch {
		case user == nil:
			refuse(w, notFound)
		case user.userID() == session.UserID:
			refuse(w, badRequest("The user in the path is yourself."))
		default:
			a.begin(w, r, user, sessiontrack.LoginOptions{ActedBy: session.UserID, Lifetime: time.Hour})
		}
	}), "superadmin").ServeHTTP(w, r)
}
