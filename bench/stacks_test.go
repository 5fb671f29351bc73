package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/alexedwards/scs/v2/memstore"
	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/sessions"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// inner is the application's handler in every stack. It is a global interface variable, so that the
// compiler cannot inline it and remove the allocations.
var inner http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusNoContent)
})

// user is the user of every request's session.
const user = "42"

// stack is one way to find the session of a request over net/http.
type stack struct {
	name, does string
	wrap       func(next http.Handler) http.Handler
	user       func(*http.Request) string // returns the session's user, called inside wrap
	request    *http.Request
}

// sink is a ResponseWriter that discards the response.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

// caller returns a function that sends one request.
func (s *stack) caller(next http.Handler) func() {
	h, w := s.wrap(next), &sink{make(http.Header)}
	return func() {
		clear(w.header)
		h.ServeHTTP(w, s.request)
	}
}

// prove fails if the stack does not find the session.
func (s *stack) prove(t testing.TB) {
	t.Helper()
	got := ""
	s.caller(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = s.user(r) }))()
	require.Equal(t, user, got, "%s must know the user", s.name)
}

func newRequest() *http.Request { return httptest.NewRequest(http.MethodGet, "/", nil) }

func bare() *stack {
	return &stack{
		name: "bare handler", does: "nothing",
		wrap: func(next http.Handler) http.Handler { return next },
		user: func(*http.Request) string { return user }, request: newRequest(),
	}
}

type floorKey struct{}

// floor does only what every middleware with a context value must do.
func floor() *stack {
	value := new(string)
	*value = user
	return &stack{
		name: "context floor", does: "r.WithContext with one pointer; knows nothing",
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), floorKey{}, value)))
			})
		},
		user:    func(r *http.Request) string { return *r.Context().Value(floorKey{}).(*string) },
		request: newRequest(),
	}
}

// ours is sessiontrack with a store. carrier is header, cookie or jwt.
func ours(t testing.TB, store sessiontrack.Store, carrier string, identifier sessiontrack.Identifier,
	key signingKey) *stack {
	t.Helper()
	o := &sessiontrack.Options{Cookie: &sessiontrack.CookieOptions{}, Identifier: identifier,
		Logger: slog.New(slog.DiscardHandler)}
	tracker, err := sessiontrack.New(store, o)
	require.NoError(t, err)
	require.NoError(t, tracker.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, tracker.Shutdown(context.Background())) })
	session, token, err := tracker.Login(httptest.NewRecorder(), newRequest(), user)
	require.NoError(t, err)
	s := &stack{
		name: "sessiontrack, " + carrier, does: "secret, owner, end, both limits; activity and the end elsewhere",
		wrap: tracker.Middleware, request: newRequest(),
		user: func(r *http.Request) string {
			session, _ := sessiontrack.FromContext(r.Context())
			return session.UserID
		},
	}
	switch carrier {
	case "cookie":
		s.request.Header.Set("Cookie", "__Host-session="+token.Reveal())
	case "header":
		s.request.Header.Set("X-Session-Id", token.Reveal())
	default:
		s.request.Header.Set("Authorization", "Bearer "+key.sign(t, string(session.ID)))
	}
	return s
}

func oursInMemory(t testing.TB, carrier string) *stack {
	return ours(t, sessiontrack.NewMemoryStore(), carrier, nil, signingKey{})
}

// scsStack is scs with an in-memory session. With an idle timeout it writes the session back in
// each request, because that is how scs records activity.
func scsStack(t testing.TB) *stack {
	t.Helper()
	manager := scs.New()
	manager.Store = memstore.NewWithCleanupInterval(0)
	manager.IdleTimeout = 24 * time.Hour
	ctx, err := manager.Load(t.Context(), "")
	require.NoError(t, err)
	manager.Put(ctx, "user", user)
	token, _, err := manager.Commit(ctx)
	require.NoError(t, err)
	r := newRequest()
	r.AddCookie(&http.Cookie{Name: "session", Value: token})
	return &stack{
		name: "alexedwards/scs v2.9.0, memory", does: "idle timeout; no list, no end from outside, no store of activity",
		wrap: manager.LoadAndSave, user: func(r *http.Request) string { return manager.GetString(r.Context(), "user") },
		request: r,
	}
}

// gorillaStack keeps the session in a signed cookie that it reads and writes in each request.
func gorillaStack(t testing.TB) *stack {
	t.Helper()
	store := sessions.NewCookieStore([]byte(strings.Repeat("k", 32)))
	w := httptest.NewRecorder()
	session, err := store.New(newRequest(), "session")
	require.NoError(t, err)
	session.Values["user"] = user
	require.NoError(t, session.Save(newRequest(), w))
	r := newRequest()
	r.AddCookie(w.Result().Cookies()[0])
	return &stack{
		name: "gorilla/sessions v1.4.0, cookie",
		does: "Get and Save of a signed cookie; nothing on the server, cannot end one",
		wrap: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				// gorilla's registry is in the request's context. Each call gets a new one, as each
				// request of a server does.
				r = r.WithContext(context.WithValue(r.Context(), floorKey{}, nil))
				session, err := store.Get(r, "session")
				if err == nil {
					err = session.Save(r, w)
				}
				if err != nil {
					http.Error(w, "", http.StatusInternalServerError)
					return
				}
				next.ServeHTTP(w, r)
			})
		},
		user: func(r *http.Request) string {
			session, _ := store.Get(r, "session")
			name, _ := session.Values["user"].(string)
			return name
		},
		request: r,
	}
}

// signingKey signs tokens and configures their verification.
type signingKey struct {
	algorithm string
	private   any
	public    any
}

func signingKeys(t testing.TB) []signingKey {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	secret := []byte(strings.Repeat("k", 32))
	return []signingKey{{"HS256", secret, secret}, {"RS256", r, &r.PublicKey}, {"ES256", e, &e.PublicKey}}
}

// identifier verifies the key's tokens. cacheSize is JWTOptions.CacheSize.
func (k signingKey) identifier(t testing.TB, cacheSize int) *sessiontrack.JWTIdentifier {
	t.Helper()
	identifier, err := sessiontrack.NewJWTIdentifier(sessiontrack.JWTOptions{
		Keyfunc: func(*jwt.Token) (any, error) { return k.public, nil }, Algorithms: []string{k.algorithm},
		CacheSize: cacheSize,
	})
	require.NoError(t, err)
	return identifier
}

func (k signingKey) sign(t testing.TB, sid string) string {
	t.Helper()
	claims := jwt.MapClaims{"sub": user, "roles": []string{"member"}, "exp": time.Now().Add(time.Hour).Unix()}
	if sid != "" {
		claims["sid"] = sid
	}
	token, err := jwt.NewWithClaims(jwt.GetSigningMethod(k.algorithm), claims).SignedString(k.private)
	require.NoError(t, err)
	return token
}
