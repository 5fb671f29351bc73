package sessiontrack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/coder/websocket"

	"github.com/sessiontrack/sessiontrack"
)

// The quick start: a Tracker in front of an application. README.md shows it.
func Example() {
	// README: quick start
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{
		SessionOptional: sessiontrack.SkipPrefixes("/login", "/logout"), // work with an old session, too
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if _, token, err := tracker.Login(w, r, "42"); err != nil { // the user whom you have authenticated
			http.Error(w, "try again", http.StatusServiceUnavailable)
		} else {
			fmt.Fprint(w, token.Reveal()) // to the client and to nobody else
		}
	})
	mux.HandleFunc("POST /logout", tracker.Logout)
	mux.Handle("GET /me", tracker.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessiontrack.FromContext(r.Context())
		fmt.Fprint(w, "user ", session.UserID, " on ", session.Device)
	})))
	handler := tracker.Middleware(mux) // http.ListenAndServe("127.0.0.1:8080", handler)
	// README: end

	ask := func(method, path, token string) string {
		r := httptest.NewRequest(method, path, nil)
		// An agent that this process has seen before is named in full at once; this one is new.
		r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:138.0) Gecko/20100101 Firefox/138.0")
		if token != "" {
			r.Header.Set("x-session-id", token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if path == "/me" {
			fmt.Println(w.Code)
		}
		return w.Body.String()
	}
	ask("GET", "/me", "")
	token := ask("POST", "/login", "")
	fmt.Println(ask("GET", "/me", token))
	_, _ = tracker.End(context.Background(), sessiontrack.User("42"),
		sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin, Actor: "7"})
	ask("GET", "/me", token)
	token = ask("POST", "/login", token) // a page that has not noticed
	ask("GET", "/me", token)
	// Output:
	// 401
	// 200
	// user 42 on Computer
	// 401
	// 200
}

// The start and the stop in production. README.md shows it.
func Example_production() {
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	handler := tracker.Middleware(http.NewServeMux())
	// README: production
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := tracker.Start(ctx); err != nil { // the store cannot be reached, or lacks a table or a right
		log.Fatal(err)
	}
	server := &http.Server{Addr: "127.0.0.1:8080", Handler: handler}
	server.RegisterOnShutdown(tracker.EndStreams)
	go func() {
		if err := server.ListenAndServe(); err != http.ErrServerClosed {
			log.Fatal(err)
		}
	}()
	<-ctx.Done()
	last, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = server.Shutdown(last)  // requests finish
	_ = tracker.Shutdown(last) // after the server: no request may touch later
	// README: end
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

// A WebSocket that closes when its session ends, on whichever replica, and tells the client why.
func ExampleTracker_Hold() {
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), nil)
	if err != nil {
		log.Fatal(err)
	}
	chat := tracker.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, _ := sessiontrack.FromContext(r.Context())
		held, release := tracker.Hold(r.Context(), session.ID) // and the user is online meanwhile
		defer release()
		conn, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer conn.CloseNow()
		context.AfterFunc(held, func() {
			var ended *sessiontrack.EndedError
			if errors.As(context.Cause(held), &ended) {
				_ = conn.Close(4401, "session_ended "+string(ended.Reason))
			}
		})
		for {
			kind, message, err := conn.Read(r.Context())
			if err != nil || tracker.Touch(r.Context(), session.ID) != nil { // a message is activity
				return
			}
			if err := conn.Write(r.Context(), kind, message); err != nil {
				return
			}
		}
	}))
	http.Handle("GET /chat", chat)
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
