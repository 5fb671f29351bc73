// Pages is an application with server-rendered pages: sign-in by a form with "stay signed in", a way
// back, "Your devices", and a password change that signs out everything else. README.md explains it.
package main

import (
	"context"
	"embed"
	"html/template"
	"log"
	"net/http"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/account"
)

//go:embed *.html
var files embed.FS

var pages = template.Must(template.ParseFS(files, "*.html"))

// shop is the application. It has one user, whose password is kept as it is: yours must not be.
type shop struct {
	tracker  *sessiontrack.Tracker
	mu       sync.Mutex
	password string
}

func newShop(store sessiontrack.Store, plain bool) (*shop, http.Handler, error) {
	s := &shop{password: "demo"}
	var err error
	s.tracker, err = sessiontrack.New(store, &sessiontrack.Options{
		Cookie:          &sessiontrack.CookieOptions{InsecureHTTP: plain},
		SessionOptional: sessiontrack.SkipPrefixes("/login"),
		Refuse:          sessiontrack.RedirectPages("/login"),
	})
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /login", func(w http.ResponseWriter, r *http.Request) { s.signInPage(w, r, "") })
	mux.HandleFunc("POST /login", s.signIn)
	mux.HandleFunc("POST /logout", s.signOut)
	mux.Handle("GET /{$}", s.tracker.Require(http.HandlerFunc(s.home)))
	mux.Handle("POST /password", s.tracker.Require(http.HandlerFunc(s.changePassword)))
	mux.Handle("/account/devices/", account.Handler(&account.Options{
		Tracker: s.tracker, Home: "/", CheckPassword: s.checkPassword,
	}))
	// The sign-in has no session yet that a cookie would protect: forms of other sites end here.
	return s, http.NewCrossOriginProtection().Handler(s.tracker.Middleware(mux)), nil
}

func (s *shop) checkPassword(_ context.Context, userID, password string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return userID == "ayu" && password == s.password, nil
}

func show(w http.ResponseWriter, status int, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; form-action 'self'; frame-ancestors 'none'")
	w.WriteHeader(status)
	if err := pages.ExecuteTemplate(w, page, data); err != nil {
		log.Print(err)
	}
}

func (s *shop) signInPage(w http.ResponseWriter, r *http.Request, wrong string) {
	status := http.StatusOK
	if wrong != "" {
		status = http.StatusUnauthorized
	}
	show(w, status, "login.html", map[string]string{
		"Next": sessiontrack.NextPath(r, "/"), "Reason": r.FormValue("reason"), "Wrong": wrong,
	})
}

func (s *shop) signIn(w http.ResponseWriter, r *http.Request) {
	user := r.FormValue("user")
	if right, _ := s.checkPassword(r.Context(), user, r.FormValue("password")); !right {
		s.signInPage(w, r, "The name or the password is wrong.")
		return
	}
	o := sessiontrack.LoginOptions{Methods: []string{"pwd"}, Client: "web"}
	if r.FormValue("remember") != "" {
		o.Remember, o.IdleTimeout = true, 30*24*time.Hour
	}
	if _, _, err := s.tracker.LoginWith(w, r, user, o); err != nil {
		s.tracker.Refuse(w, r, err)
		return
	}
	http.Redirect(w, r, sessiontrack.NextPath(r, "/"), http.StatusSeeOther)
}

func (s *shop) signOut(w http.ResponseWriter, r *http.Request) {
	if err := s.tracker.EndCurrent(w, r); err != nil {
		s.tracker.Refuse(w, r, err)
		return
	}
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

func (s *shop) home(w http.ResponseWriter, r *http.Request) {
	session, _ := sessiontrack.FromContext(r.Context())
	show(w, http.StatusOK, "home.html", session)
}

// changePassword signs out every other device: whoever knew the old password is out (OWASP ASVS 7.4.3).
func (s *shop) changePassword(w http.ResponseWriter, r *http.Request) {
	session, _ := sessiontrack.FromContext(r.Context())
	right, _ := s.checkPassword(r.Context(), session.UserID, r.FormValue("old"))
	if !right || r.FormValue("new") == "" {
		http.Error(w, "The old password is wrong, or the new one is empty.", http.StatusForbidden)
		return
	}
	s.mu.Lock()
	s.password = r.FormValue("new")
	s.mu.Unlock()
	others := sessiontrack.User(session.UserID).Except(session.ID)
	if _, err := s.tracker.End(r.Context(), others, sessiontrack.Ending{
		Reason: sessiontrack.ReasonPassword, Actor: session.UserID,
	}); err != nil {
		s.tracker.Refuse(w, r, err)
		return
	}
	http.Redirect(w, r, "/account/devices/", http.StatusSeeOther)
}

func main() {
	s, handler, err := newShop(sessiontrack.NewMemoryStore(), true)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.tracker.Start(context.Background()); err != nil {
		log.Fatal(err)
	}
	log.Print("http://127.0.0.1:8080/, user ayu, password demo")
	log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler))
}
