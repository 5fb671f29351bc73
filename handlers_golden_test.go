package sessiontrack

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var updateGolden = flag.Bool("update", false, "write the golden files anew")

var (
	timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z$`)
	serial    = regexp.MustCompile(`"id": \d+,\n(\s+"userId")`)
)

// TestAnswersEqualTheGoldenFiles compares every answer, whole, with one file per role: which
// fields there are, their order, and what each role gets to see (docs/checks.md S25, P04).
// Handles, serials and times are replaced by words. Both stores must answer alike.
func TestAnswersEqualTheGoldenFiles(t *testing.T) {
	t.Parallel()
	for role, caller := range map[string]string{"anon": "", "user": alice, "admin": adam, "superadmin": ruth} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			onEachStore(t, func(t *testing.T, store Store) {
				got := transcript(t, newSite(t, store, siteOptions{}), caller)
				file := filepath.Join("testdata", "http", role+".golden")
				if *updateGolden {
					require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
					require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
				}
				want, err := os.ReadFile(file)
				require.NoError(t, err, "run the test with -update")
				assert.Equal(t, string(want), got)
			})
		})
	}
}

// golden is a device as it is described a moment after the sign-in.
var golden = Device{Type: DeviceTablet, Browser: "Firefox", BrowserVersion: "140.0", OS: "Android", OSVersion: "16", Brand: "Acme", Model: "One", Source: "test"}

// transcript asks every endpoint once, and some twice, as one caller.
func transcript(t *testing.T, s *site, caller string) string {
	t.Helper()
	names := map[string]string{}
	remember := func(name string, session Session) Session {
		names[string(session.ID)] = "<" + name + ">"
		facts := SessionUpdate{ID: session.ID, Device: &golden, Network: &ClientNetwork{Address: session.Address, Location: Location{CountryCode: "ID", Country: "Indonesia", City: "Jakarta"}}}
		require.NoError(t, s.backend.store.Describe(t.Context(), []SessionUpdate{facts}))
		return session
	}
	ended := remember("bob ended", s.signIn(t, bob))
	_, err := s.End(t.Context(), IDs(ended.ID), Ending{Reason: ReasonPassword, Actor: bob})
	require.NoError(t, err)
	remember("alice", s.signIn(t, alice))
	remember("adam", s.signIn(t, adam))
	remember("ruth", s.signIn(t, ruth))
	first := remember("bob 1", s.signIn(t, bob))
	remember("bob 2", s.signIn(t, bob))

	var out strings.Builder
	for _, ask := range []string{
		"GET " + adminPath + "active-users", "GET " + adminPath + "active-users?limit=1&device=fridge",
		"GET " + adminPath + "user/2/sessions?ended=true",
		"GET " + onlinePath + "count", "GET " + onlinePath + "count?minutes=1441", "GET " + onlinePath + "users", "GET " + onlinePath + "stats",
		"GET " + onlinePath + "sessions", "GET " + onlinePath + "nothing", "PUT " + onlinePath + "count",
		"GET " + onlinePath + "me", "POST " + onlinePath + "me/extend", "GET " + onlinePath + "sessions?state=over",
		"GET " + onlinePath + "sessions?state=ended", "POST " + onlinePath + "sessions/" + string(first.ID) + "/report",
		"DELETE " + onlinePath + "sessions/" + string(first.ID), "POST " + onlinePath + "sessions/end-others", "POST " + onlinePath + "cleanup",
		"POST " + adminPath + "force-logout/" + string(first.ID), "POST " + adminPath + "force-logout/" + string(first.ID),
		"POST " + adminPath + "force-logout-user/2", "POST " + adminPath + "cleanup-expired",
		"GET " + adminPath + "audit", "GET " + adminPath + "audit?limit=1&action=Force",
	} {
		method, path, _ := strings.Cut(ask, " ")
		w := s.as(caller, method, path)
		for handle, name := range names {
			ask = strings.ReplaceAll(ask, handle, name)
		}
		fmt.Fprintf(&out, "%s\n%d %s\n%s\n\n", ask, w.Code, headersOf(w), normal(t, w.Body.Bytes(), names))
	}
	return out.String()
}

func headersOf(w *httptest.ResponseRecorder) string {
	var out []string
	for _, name := range []string{"Content-Type", "Cache-Control", "X-Content-Type-Options", "Allow", "WWW-Authenticate", "Retry-After"} {
		if value := w.Header().Get(name); value != "" {
			out = append(out, name+": "+value)
		}
	}
	return strings.Join(out, " | ")
}

// normal indents a body, keeps the order of its fields, and replaces what differs from
// run to run.
func normal(t *testing.T, body []byte, names map[string]string) string {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, json.Indent(&out, bytes.TrimSpace(body), "", "  "))
	text := serial.ReplaceAllString(out.String(), "\"id\": <serial>,\n$1")
	text = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`).ReplaceAllStringFunc(text, func(quoted string) string {
		word := strings.Trim(quoted, `"`)
		if name := names[word]; name != "" {
			return `"` + name + `"`
		}
		if timestamp.MatchString(word) {
			return `"<time>"`
		}
		return quoted
	})
	return text
}
