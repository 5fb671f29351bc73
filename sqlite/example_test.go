package sqlite_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/sqlite"
)

// An application of one binary is stopped and started again, as by a deploy. Whoever was signed in
// still is. README.md shows the start.
func Example() {
	folder, err := os.MkdirTemp("", "sqlite")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	path := filepath.Join(folder, "sessions.db")
	ctx := context.Background()

	// run is the application: it serves one request between its start and its stop.
	run := func(token string) string {
		// README: quick start
		store, err := sqlite.Open(path, nil) // such as "sessions.db"
		if err != nil {
			log.Fatal(err)
		}
		defer store.Close()                        // last: the tracker writes until its end
		if err := store.Migrate(ctx); err != nil { // makes the file and the tables, or brings them up to date
			log.Fatal(err)
		}
		tracker, err := sessiontrack.New(store, &sessiontrack.Options{
			SessionOptional: sessiontrack.SkipPrefixes("/login"), // works with an old session, too
		})
		if err != nil {
			log.Fatal(err)
		}
		if err := tracker.Start(ctx); err != nil {
			log.Fatal(err)
		}
		defer tracker.Shutdown(ctx) // after the server: writes what is still in memory
		mux := http.NewServeMux()
		mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
			if _, token, err := tracker.Login(w, r, "42"); err != nil { // the user whom you have authenticated
				http.Error(w, "try again", http.StatusServiceUnavailable)
			} else {
				fmt.Fprint(w, token.Reveal()) // the client sends it as x-session-id
			}
		})
		mux.Handle("GET /me", tracker.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			session, _ := sessiontrack.FromContext(r.Context())
			fmt.Fprint(w, "user ", session.UserID)
		})))
		handler := tracker.Middleware(mux) // http.ListenAndServe("127.0.0.1:8080", handler)
		// README: end

		r, w := httptest.NewRequest(http.MethodPost, "/login", nil), httptest.NewRecorder()
		if token != "" {
			r = httptest.NewRequest(http.MethodGet, "/me", nil)
			r.Header.Set("x-session-id", token)
		}
		handler.ServeHTTP(w, r)
		return w.Body.String()
	}
	token := run("")
	fmt.Println(run(token))
	// Output: user 42
}

// TestReadmeShowsTheExample: the README's quick start is what is compiled above.
func TestReadmeShowsTheExample(t *testing.T) {
	t.Parallel()
	example, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	_, code, found := strings.Cut(string(example), "\t\t// README: quick start\n")
	require.True(t, found)
	code, _, _ = strings.Cut(code, "\t\t// README: end\n")
	code = strings.TrimSpace(strings.ReplaceAll("\n"+code, "\n\t\t", "\n"))
	_, block, found := strings.Cut(string(readme), "<!-- held to example_test.go -->\n\n```go\n")
	require.True(t, found)
	block, _, _ = strings.Cut(block, "\n```\n")
	require.Equal(t, code, block)
}
