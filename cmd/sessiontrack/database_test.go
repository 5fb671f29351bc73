package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

// host is an application that shares the commands' database.
type host struct {
	t       *testing.T
	engine  engine
	dsn     string
	pool    *sql.DB
	tracker *sessiontrack.Tracker
}

// newHost migrates a fresh database with the command.
func newHost(t *testing.T, e engine) *host {
	t.Helper()
	h := &host{t: t, engine: e, dsn: e.fresh(t)}
	assert.Equal(t, "the tables are up to date\n", h.run("migrate"))
	pool, store := e.open(t, h.dsn)
	options := sessiontrack.Options{StoreTimeout: storeTimeout, MaxStaleness: storeTimeout}
	tracker, err := sessiontrack.New(store, &options)
	require.NoError(t, err)
	h.pool, h.tracker = pool, tracker
	return h
}

// run runs a command that must succeed, and returns its output.
func (h *host) run(name string, args ...string) string {
	h.t.Helper()
	code, stdout, stderr := runCommand(h.t, append([]string{name, "-dsn", h.dsn}, args...)...)
	require.Equal(h.t, exitOK, code, stderr)
	assert.Empty(h.t, stderr)
	return stdout
}

// execute runs statements as somebody with rights of the database has them.
func (h *host) execute(statements ...string) {
	h.t.Helper()
	for _, statement := range statements {
		_, err := h.pool.ExecContext(h.t.Context(), statement)
		require.NoError(h.t, err)
	}
}

func runCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

// login signs a user in from an address.
func (h *host) login(user, address, agent string) sessiontrack.Session {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/login", nil)
	r.RemoteAddr = address + ":1234"
	r.Header.Set("User-Agent", agent)
	session, _, err := h.tracker.Login(httptest.NewRecorder(), r, user)
	require.NoError(h.t, err)
	return session
}

// age moves a session's latest activity back.
func (h *host) age(s sessiontrack.Session, by time.Duration) {
	h.t.Helper()
	_, err := h.pool.ExecContext(h.t.Context(), h.engine.age, by.Seconds(), string(s.ID))
	require.NoError(h.t, err)
}

func (h *host) endedAs(s sessiontrack.Session) string {
	h.t.Helper()
	got, err := h.tracker.Get(h.t.Context(), s.ID)
	require.NoError(h.t, err)
	return strings.TrimSpace(string(got.EndReason) + " " + got.EndedBy)
}

func TestMigrateMayComeTwiceAndAtOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		dsn := e.fresh(t)
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				var out, errs bytes.Buffer
				code := run(context.Background(), []string{"migrate", "-dsn", dsn}, nil, &out, &errs)
				assert.Equal(t, exitOK, code, errs.String())
			})
		}
		wait.Wait()
		pool, _ := e.open(t, dsn)
		for _, table := range []string{"user_sessions", "user_presence", "online_samples"} {
			var rows int
			require.NoError(t, pool.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&rows))
			assert.Zero(t, rows)
		}
	})
}

func TestCleanupEndsWhatIsIdleAndPrintsTheNumber(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		h := newHost(t, e)
		fresh := h.login("1", "192.0.2.1", "curl/8")
		hour, day := h.login("1", "192.0.2.1", "curl/8"), h.login("2", "192.0.2.1", "curl/8")
		h.age(hour, time.Hour)
		h.age(day, 25*time.Hour)
		assert.Equal(t, "0\n", h.run("cleanup", "-idle", "0"))
		assert.Equal(t, "1\n", h.run("cleanup"), "24 h by default")
		assert.Equal(t, "0\n", h.run("cleanup"))
		assert.Equal(t, "1\n", h.run("cleanup", "-idle", "30m"))
		assert.Equal(t, "idle", h.endedAs(day))
		assert.Equal(t, "idle", h.endedAs(hour))
		assert.Empty(t, h.endedAs(fresh))
	})
}

func TestCleanupEndsWhatIsPastItsLifetimeAndPurgesOnlyWhenAsked(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		h := newHost(t, e)
		old := h.login("1", "192.0.2.1", "curl/8")
		h.execute(e.expire)
		assert.Equal(t, "1\n", h.run("cleanup"))
		assert.Equal(t, "lifetime", h.endedAs(old))

		// An ended row cannot change, so the test takes the trigger away to age it.
		h.execute(e.agedEnds...)
		assert.Equal(t, "0\n", h.run("cleanup"))
		assert.Equal(t, "lifetime", h.endedAs(old), "kept: no retention is set")
		assert.Equal(t, "0\n", h.run("cleanup", "-retention", "4320h"))
		_, err := h.tracker.Get(t.Context(), old.ID)
		assert.ErrorIs(t, err, sessiontrack.ErrNotFound)
	})
}

func TestCleanupsAtOnceCountEachSessionOnce(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		h := newHost(t, e)
		const sessions = 60
		for n := range sessions {
			h.age(h.login(fmt.Sprint(n), "192.0.2.1", "curl/8"), 48*time.Hour)
		}
		counts := make([]int, 4)
		var wait sync.WaitGroup
		for i := range counts {
			wait.Go(func() {
				var out, errs bytes.Buffer
				assert.Equal(t, exitOK, run(context.Background(), []string{"cleanup", "-dsn", h.dsn}, nil, &out, &errs),
					errs.String())
				_, err := fmt.Sscan(out.String(), &counts[i])
				assert.NoError(t, err)
			})
		}
		wait.Wait()
		assert.Equal(t, sessions, counts[0]+counts[1]+counts[2]+counts[3], "%v", counts)
	})
}

func TestEnd(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		h := newHost(t, e)
		a, b, c, d := h.login("1", "192.0.2.1", ""), h.login("1", "192.0.2.1", ""), h.login("1", "192.0.2.1", ""),
			h.login("2", "192.0.2.1", "")
		assert.Equal(t, "1\n", h.run("end", string(a.ID)))
		assert.Equal(t, "admin", h.endedAs(a))
		assert.Equal(t, "1\n", h.run("end", string(a.ID), string(b.ID), "-reason", "password", "-by", "7"),
			"flags may come behind; the first had ended")
		assert.Equal(t, "password 7", h.endedAs(b))
		assert.Equal(t, "1\n", h.run("end", "-user", "1"))
		assert.Equal(t, "admin", h.endedAs(c))
		assert.Empty(t, h.endedAs(d))
		assert.Equal(t, "0\n", h.run("end", "-user", "nobody"))
		e1, e2 := h.login("3", "192.0.2.7", ""), h.login("4", "192.0.2.8", "")
		assert.Equal(t, "3\n", h.run("count"))
		assert.Equal(t, "1\n", h.run("count", "-ip", "192.0.2.4/30", "-state", "any"))
		assert.Equal(t, "1\n", h.run("end", "-ip", "192.0.2.4/30", "-dry-run"))
		assert.Empty(t, h.endedAs(e1))
		assert.Equal(t, "1\n", h.run("end", "-ip", "192.0.2.4/30", "-reason", "breach"))
		assert.Equal(t, "breach", h.endedAs(e1))
		assert.Equal(t, "1\n", h.run("end", "-user", "4,5"))
		assert.Equal(t, "admin", h.endedAs(e2))
		assert.Equal(t, "0\n", h.run("end", strings.Repeat("A", 22)))
		assert.Equal(t, "0\n", h.run("end", "-"+strings.Repeat("A", 21), "-reason", "password"), "not a flag")
	})
}

func TestList(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		h := newHost(t, e)
		assert.Equal(t, "[]\n", h.run("list", "-json"))
		first := h.login("1", "192.0.2.1", "Mozilla/5.0 \u202e(X11)")
		second := h.login("2", "192.0.2.2", "curl/8")
		ended := h.login("2", "192.0.2.3", "curl/8")
		idle := h.login("3", "192.0.2.4", "curl/8")
		h.age(idle, 25*time.Hour)
		assert.Equal(t, "1\n", h.run("end", string(ended.ID)))

		ids := func(args ...string) []string {
			var sessions []struct {
				SessionID string `json:"sessionId"`
			}
			require.NoError(t, json.Unmarshal([]byte(h.run("list", append(args, "-json")...)), &sessions))
			list := make([]string, len(sessions))
			for i, s := range sessions {
				list[i] = s.SessionID
			}
			return list
		}
		id := func(sessions ...sessiontrack.Session) []string {
			list := make([]string, len(sessions))
			for i, s := range sessions {
				list[i] = string(s.ID)
			}
			return list
		}
		assert.Equal(t, id(second, first), ids())
		assert.Equal(t, id(first), ids("-user", "1"))
		assert.Equal(t, id(ended, second), ids("-user", "2", "-state", "any"))
		assert.Equal(t, id(second), ids("-ip", "192.0.2.2"))
		assert.Equal(t, id(second), ids("-ip", "::ffff:192.0.2.2"))
		assert.Empty(t, ids("-ip", "192.0.2.3"))
		assert.Empty(t, ids("-device", "console"))
		assert.Len(t, ids("-limit", "1"), 1)
		assert.Len(t, ids("-idle", "0"), 3)
		assert.Len(t, ids("-within", "15m", "-limit", "0"), 2)

		table := h.run("list", "-user", "2", "-state", "any")
		lines := strings.Split(strings.TrimSpace(table), "\n")
		require.Len(t, lines, 3)
		assert.Regexp(t, `^USER +SESSION +DEVICE +ADDRESS +PLACE +SIGNED IN +LAST ACTIVITY +BROWSER +ENDED$`, lines[0])
		assert.Regexp(t, `^2 +`+string(ended.ID)+` .* 192\.0\.2\.3 .* curl.* admin$`, lines[1])
		assert.NotContains(t, h.run("list"), "\u202e", "no character that reverses the text")
	})
}

func TestListWalksAllPages(t *testing.T) {
	onEachEngine(t, func(t *testing.T, e engine) {
		h := newHost(t, e)
		for n := range 205 {
			h.login(fmt.Sprint(n), "192.0.2.1", "curl/8")
		}
		count := func(args ...string) int { return strings.Count(h.run("list", args...), "\n") - 1 }
		assert.Equal(t, 100, count())
		assert.Equal(t, 150, count("-limit", "150"))
		assert.Equal(t, 205, count("-limit", "0"))
		assert.Equal(t, 205, count("-limit", "1000"))
	})
}

func TestMisuseIsNamed(t *testing.T) {
	t.Setenv(envDSN, "") // so the test cannot be parallel
	const dsn = "postgres://u:hunter2@127.0.0.1:1/db"
	missing, letter := filepath.Join(t.TempDir(), "none.db"), filepath.Join(t.TempDir(), "letter.db")
	require.NoError(t, os.WriteFile(letter, bytes.Repeat([]byte("This is a letter. "), 100), 0o600))
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no DSN to migrate": {[]string{"migrate"}, exitUsage, "-dsn is required, or SESSIONTRACK_DSN"},
		"no DSN to cleanup": {[]string{"cleanup"}, exitUsage, "sessiontrack cleanup: -dsn is required"},
		"no DSN to list":    {[]string{"list"}, exitUsage, "-dsn is required"},
		"no DSN to end":     {[]string{"end", "-user", "1"}, exitUsage, "-dsn is required"},
		"no SQLite file":    {[]string{"list", "-dsn", "sqlite:"}, exitUsage, "-dsn: want sqlite:FILE, such as"},
		"SQLite in memory":  {[]string{"migrate", "-dsn", "sqlite::memory:"}, exitUsage, "-dsn: want sqlite:FILE"},
		"SQLite as an URL":  {[]string{"list", "-dsn", "sqlite://x.db"}, exitUsage, "-dsn: want sqlite:FILE"},
		"no such file": {[]string{"cleanup", "-dsn", "sqlite:" + missing}, exitFailed,
			"no such file or directory: sessiontrack migrate makes the file"},
		"no such folder": {[]string{"migrate", "-dsn", "sqlite:" + filepath.Join(missing, "x")}, exitFailed,
			"unable to open database file"},
		"no database":         {[]string{"end", "-dsn", "sqlite:" + letter, "-user", "1"}, exitFailed, "not a database"},
		"malformed DSN":       {[]string{"list", "-dsn", "postgres://u:hunter2@h:port/db"}, exitUsage, "-dsn:"},
		"nobody there":        {[]string{"migrate", "-dsn", dsn}, exitFailed, "sessiontrack migrate:"},
		"argument":            {[]string{"cleanup", "-dsn", dsn, "now"}, exitUsage, `unexpected argument "now"`},
		"idle too short":      {[]string{"cleanup", "-dsn", dsn, "-idle", "1s"}, exitUsage, "-idle is 1s: want at least 20s"},
		"idle negative":       {[]string{"cleanup", "-dsn", dsn, "-idle", "-1h"}, exitUsage, "-idle"},
		"retention too short": {[]string{"cleanup", "-dsn", dsn, "-retention", "1s"}, exitUsage, "-retention"},
		"nothing to end": {[]string{"end", "-dsn", dsn}, exitUsage,
			"no handle is given: want at least one handle, or a filter"},
		"both":                  {[]string{"end", "-dsn", dsn, "-user", "1", "x"}, exitUsage, "not both"},
		"a dry run of handles":  {[]string{"end", "-dsn", dsn, "-dry-run", strings.Repeat("A", 22)}, exitUsage, "-dry-run is set"},
		"a state to end":        {[]string{"end", "-dsn", dsn, "-state", "ended"}, exitUsage, "-state"},
		"a filter that is none": {[]string{"count", "-dsn", dsn, "-country", "Germany"}, exitUsage, "country: want"},
		"a whole token": {[]string{"end", "-dsn", dsn, strings.Repeat("A", 22) + "." + strings.Repeat("s", 43)},
			exitUsage, "argument 1 is not a handle"},
		"an invalid reason":   {[]string{"end", "-dsn", dsn, "-user", "1", "-reason", "I say so"}, exitUsage, "-reason is"},
		"unknown flag behind": {[]string{"end", "-user", "1", "x", "-force"}, exitUsage, "-force"},
		"unknown device":      {[]string{"list", "-dsn", dsn, "-device", "phone"}, exitUsage, "device: want one of"},
		"no address":          {[]string{"list", "-dsn", dsn, "-ip", "here"}, exitUsage, "ip: want an address"},
		"ended by activity": {[]string{"list", "-dsn", dsn, "-state", "ended", "-sort", "activity"}, exitUsage,
			"want active"},
		"negative limit":   {[]string{"list", "-dsn", dsn, "-limit", "-1"}, exitUsage, "-limit"},
		"a command's help": {[]string{"end", "-h"}, exitOK, "-reason"},
	} {
		code, stdout, stderr := runCommand(t, tt.args...)
		assert.Equal(t, tt.code, code, name)
		assert.Empty(t, stdout, name)
		assert.Contains(t, stderr, tt.says, name)
		assert.NotContains(t, stderr, "hunter2", name)
		assert.NotContains(t, stderr, "sssss", name)
	}
	assert.NoFileExists(t, missing)
}

func TestDSNComesFromTheEnvironmentToo(t *testing.T) {
	for name, e := range engines {
		t.Run(name, func(t *testing.T) {
			dsn := e.fresh(t)
			t.Setenv(envDSN, dsn) // so the test cannot be parallel
			code, _, stderr := runCommand(t, "list")
			assert.Equal(t, exitFailed, code)
			assert.Contains(t, stderr, "sessiontrack migrate")
			code, _, stderr = runCommand(t, "migrate")
			assert.Equal(t, exitOK, code, stderr)
			code, stdout, stderr := runCommand(t, "cleanup")
			assert.Equal(t, exitOK, code, stderr)
			assert.Equal(t, "0\n", stdout)
		})
	}
}
