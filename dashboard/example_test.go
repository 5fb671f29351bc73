package dashboard_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/dashboard"
)

// The patterns name their methods, so that they stand beside a GET / of the application's
// own.
func ExampleHandler() {
	tracker, err := sessiontrack.New(sessiontrack.NewMemoryStore(), &sessiontrack.Options{
		Cookie:          &sessiontrack.CookieOptions{},
		SessionOptional: sessiontrack.SkipPrefixes("/", "/login", "/dashboard"),
		Roles:           func(context.Context, string) ([]string, error) { return nil, nil },
	})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "my own page") })
	for _, method := range []string{"GET", "POST", "DELETE"} {
		mux.Handle(method+" /api/user-sessions/", tracker.AdminHandler(nil))
		mux.Handle(method+" /api/v1/online/", tracker.UserHandler(nil))
	}
	page := dashboard.Handler(nil)
	mux.Handle("GET /dashboard", page) // redirects to the path with the slash
	mux.Handle("GET /dashboard/", page)

	// Behind a proxy that cuts /app, the redirect leads to /app/dashboard/.
	proxied := http.StripPrefix("/app", tracker.Middleware(mux))
	answer := httptest.NewRecorder()
	proxied.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/app/dashboard", nil))
	fmt.Println(answer.Code, answer.Header().Get("Location"))
	// Output: 308 ./dashboard/
}
