package sessiontrack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/sessiontrack/sessiontrack"
)

// The quick start: a Tracker in front of an application.
func ExampleNew() {
	ctx := context.Background()
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{
		SessionOptional: sessiontrack.SkipPrefixes("/login", "/logout"), // work with an old session, too
		Roles: func(_ context.Context, userID string) ([]string, error) {
			return []string{"admin"}, nil // yours
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := tracker.Start(ctx); err != nil {
		log.Fatal(err)
	}
	defer func() { _ = tracker.Shutdown(context.WithoutCancel(ctx)) }()

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		_, token, err := tracker.Login(w, r, "42") // the user whom you have authenticated
		if err != nil {
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"sessionId": token.Reveal()})
	})
	mux.HandleFunc("POST /logout", tracker.Logout)
	mux.Handle("GET /me", tracker.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessiontrack.FromContext(r.Context())
		fmt.Fprintf(w, "user %s", session.UserID)
	})))
	mux.Handle("/api/user-sessions/", tracker.AdminHandler(nil))
	mux.Handle("/api/v1/online/", tracker.UserHandler(nil))
	server := httptest.NewUnstartedServer(tracker.Middleware(mux)) // &http.Server{Addr: addr, Handler: tracker.Middleware(mux)}
	server.Config.RegisterOnShutdown(tracker.EndStreams)
	server.Start()
	defer server.Close()

	var login struct{ SessionID string }
	answer, _ := http.Post(server.URL+"/login", "", nil)
	_ = json.NewDecoder(answer.Body).Decode(&login)
	request, _ := http.NewRequest("GET", server.URL+"/me", nil)
	fmt.Println(status(request))
	request.Header.Set("x-session-id", login.SessionID)
	fmt.Println(status(request))
	_, _ = tracker.End(ctx, sessiontrack.User("42"), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: "7"})
	fmt.Println(status(request))
	request, _ = http.NewRequest("POST", server.URL+"/login", nil)
	request.Header.Set("x-session-id", login.SessionID) // a page that has not noticed
	fmt.Println(status(request))
	// Output:
	// 401
	// 200
	// 401
	// 200
}

func status(r *http.Request) int {
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	return answer.StatusCode
}

// Login replaces the session that the request carries: an old id is never adopted.
func ExampleTracker_Login() {
	tracker, _ := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{
		Cookie: &sessiontrack.CookieOptions{},
	})
	w := httptest.NewRecorder()
	first, token, _ := tracker.Login(w, httptest.NewRequest("POST", "/login", nil), "42")
	cookie := w.Result().Cookies()[0]
	fmt.Println(cookie.Name, cookie.Secure, cookie.HttpOnly, cookie.Value == token.Reveal())

	again := httptest.NewRequest("POST", "/login", nil)
	again.AddCookie(cookie)
	second, _, _ := tracker.Login(httptest.NewRecorder(), again, "42")
	old, _ := tracker.Get(context.Background(), first.ID)
	fmt.Println(second.ID != first.ID, old.EndReason)
	fmt.Println(token.String() == string(first.ID)) // a token prints as its handle
	// Output:
	// __Host-session true true true
	// true replaced
	// true
}

// The admin family: only admins, whose session and roles are asked anew each time.
func ExampleTracker_AdminHandler() {
	tracker, _ := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{
		Roles: func(_ context.Context, userID string) ([]string, error) {
			if userID == "1" {
				return []string{"admin"}, nil
			}
			return nil, nil
		},
	})
	mux := http.NewServeMux()
	mux.Handle("/api/user-sessions/", tracker.AdminHandler(nil))
	get := func(user string) int {
		_, token, _ := tracker.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil), user)
		r := httptest.NewRequest("GET", "/api/user-sessions/active-users", nil)
		r.Header.Set("x-session-id", token.Reveal())
		w := httptest.NewRecorder()
		tracker.Middleware(mux).ServeHTTP(w, r)
		return w.Code
	}
	fmt.Println(get("1"), get("2"))
	// Output: 200 403
}

// The online family: who is here, for everybody who is signed in.
func ExampleTracker_UserHandler() {
	tracker, _ := sessiontrack.New(sessiontrack.NewMemoryStore(), nil)
	mux := http.NewServeMux()
	mux.Handle("/api/v1/online/", tracker.UserHandler(nil))
	_, token, _ := tracker.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil), "42")

	r := httptest.NewRequest("GET", "/api/v1/online/count?minutes=5", nil)
	r.Header.Set("x-session-id", token.Reveal())
	w := httptest.NewRecorder()
	tracker.Middleware(mux).ServeHTTP(w, r)
	var answer struct {
		Count   int `json:"online_count"`
		Minutes int `json:"threshold_minutes"`
	}
	_ = json.Unmarshal(w.Body.Bytes(), &answer)
	fmt.Println(w.Code, answer.Count, answer.Minutes)
	// Output: 200 1 5
}

// An Identifier for a login of the application's own: here a reverse proxy that has
// authenticated the user and says so in headers that only it can set.
func ExampleIdentifierFunc() {
	tracker, _ := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{
		Identifier: sessiontrack.IdentifierFunc(func(r *http.Request) (sessiontrack.Identity, error) {
			user := r.Header.Get("X-Auth-User")
			if user == "" {
				return sessiontrack.Identity{}, sessiontrack.ErrNoCredential
			}
			return sessiontrack.Identity{UserID: user, Key: r.Header.Get("X-Auth-Session"), Issuer: "proxy"}, nil
		}),
	})
	h := tracker.Middleware(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		session, ok := sessiontrack.FromContext(r.Context())
		fmt.Println(ok, session.UserID, session.Derived)
	}))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Auth-User", "42")
	r.Header.Set("X-Auth-Session", "5f1c")
	h.ServeHTTP(httptest.NewRecorder(), r)
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	// Output:
	// true 42 true
	// false  false
}

// Sessions named by an application's own JSON Web Tokens.
func ExampleNewJWTIdentifier() {
	identifier, err := sessiontrack.NewJWTIdentifier(sessiontrack.JWTOptions{
		Secret: []byte("32 random bytes, from your vault"),
		Issuer: "https://app.example.com",
	})
	if err != nil {
		log.Fatal(err)
	}
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{Identifier: identifier})
	fmt.Println(tracker != nil, err)
	_, err = sessiontrack.NewJWTIdentifier(sessiontrack.JWTOptions{Secret: []byte("8 bytes.")})
	fmt.Println(err != nil)
	// Output:
	// true <nil>
	// true
}
