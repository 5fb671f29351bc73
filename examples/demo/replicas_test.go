package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/pgtest"
)

// replicas starts two demos over one database.
func replicas(t *testing.T, dsn string, args ...string) (*demo, *demo) {
	t.Helper()
	args = append(args, "-store", dsn)
	return startDemo(t, args...), startDemo(t, args...)
}

// withReplicas runs a test with two demos: over PostgreSQL with the default intervals and with those
// of -fast, over one SQLite file, and with activity in Redis.
func withReplicas(t *testing.T, test func(t *testing.T, here, there *demo, fast bool)) {
	for name, c := range map[string]struct {
		store func(t *testing.T) string
		fast  bool
		redis bool
	}{
		"default": {store: func(t *testing.T) string { return pgtest.DSN(t) }},
		"fast":    {store: func(t *testing.T) string { return pgtest.DSN(t) }, fast: true},
		"sqlite":  {store: sqliteFile, fast: true},
		"redis":   {store: func(t *testing.T) string { return pgtest.DSN(t) }, fast: true, redis: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var args []string
			if c.fast {
				args = append(args, "-fast")
			}
			if c.redis {
				args = append(args, "-activity", redisURL(t))
			}
			here, there := replicas(t, c.store(t), args...)
			test(t, here, there, c.fast)
		})
	}
}

func TestEndedThroughOneReplicaIsRefusedByTheOther(t *testing.T) {
	t.Parallel()
	const bound = 2 * time.Second
	withReplicas(t, func(t *testing.T, here, there *demo, _ bool) {
		admin := here.signIn("admin")
		for round := range 3 {
			c := here.signIn("user1")
			for _, d := range []*demo{here, there} {
				require.Equal(t, http.StatusOK, d.get("/api/me", as(c)).status, "known to both")
			}
			r := here.do(http.MethodPost, "/api/user-sessions/force-logout/"+c.handle, "", as(admin))
			require.Equal(t, http.StatusOK, r.status, "%s", r)
			acknowledged := time.Now()
			requireEnded(t, here.get("/api/me", as(c)), "admin")
			eventually(t, bound, "refused by the other", func() bool {
				r, err := there.try(t.Context(), http.MethodGet, "/api/me", "", as(c))
				return err == nil && r.status == http.StatusUnauthorized && r.field("reason") == "admin"
			})
			t.Logf("round %d: refused after %v", round, time.Since(acknowledged).Round(time.Millisecond))
			requireEnded(t, there.get("/api/me", as(c)), "admin")
		}
	})
}

// A session used only here is shown there as active, never later than bound.
func TestUsedAtOneReplicaIsShownByTheOther(t *testing.T) {
	t.Parallel()
	withReplicas(t, func(t *testing.T, here, there *demo, fast bool) {
		bound := 20 * time.Second
		if fast {
			bound = 3 * time.Second
		}
		admin, c := there.signIn("admin"), here.signIn("user1")
		path := fmt.Sprintf("/api/user-sessions/user/%d/sessions", c.userID)
		begin, moved := time.Now(), 0
		first, last := time.Time{}, time.Time{}
		eventually(t, 4*bound, "seen to move", func() bool {
			used := time.Now()
			_, err := here.try(t.Context(), http.MethodGet, "/api/me", "", as(c))
			if !assert.NoError(t, err) {
				return true
			}
			shown := lastActivity(t, there, path, as(admin))
			assert.Less(t, used.Sub(shown), bound, "after %v", time.Since(begin))
			if first.IsZero() {
				first = shown
			}
			if shown.After(last) {
				last, moved = shown, moved+1
			}
			return moved > 2 && last.Sub(first) > bound/2
		})
		r := there.get("/api/v1/online/users", as(admin))
		assert.Contains(t, string(r.body), `"username":"user1"`)
	})
}

// lastActivity is that of the user's only session, as a list shows it.
func lastActivity(t *testing.T, d *demo, path string, changes ...change) time.Time {
	r, err := d.try(t.Context(), http.MethodGet, path, "", changes...)
	if !assert.NoError(t, err) || !assert.Equal(t, http.StatusOK, r.status, "%s", r) {
		return time.Time{}
	}
	sessions, _ := r.field("data").([]any)
	if !assert.Len(t, sessions, 1, "%s", r) {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, sessions[0].(map[string]any)["lastActivity"].(string))
	assert.NoError(t, err)
	return at
}

func TestShutdownWritesWhatItHolds(t *testing.T) {
	t.Parallel()
	dsn := pgtest.DSN(t)
	d := startDemo(t, "-store", dsn)
	c := d.signIn("user1")
	pool := pgtest.OpenDSN(t, dsn)
	var before, after time.Time
	const query = "SELECT last_activity FROM user_sessions WHERE session_id = $1"
	require.NoError(t, pool.QueryRowContext(t.Context(), query, c.handle).Scan(&before))
	_, err := pool.ExecContext(t.Context(), "UPDATE user_sessions SET last_activity = last_activity - interval '1 hour'")
	require.NoError(t, err)
	d.stop()

	d = startDemo(t, "-store", dsn) // with nothing cached: an hour ago is touched at once
	require.Equal(t, http.StatusOK, d.get("/api/me", as(c)).status, "sessions outlive the program")
	d.stop()
	require.NoError(t, pool.QueryRowContext(t.Context(), query, c.handle).Scan(&after))
	assert.True(t, after.After(before), "%v then %v", before, after)
}

// TestFileOutlivesTheProgram: an application of one binary forgets nobody when it is deployed anew,
// and an end holds after it.
func TestFileOutlivesTheProgram(t *testing.T) {
	t.Parallel()
	store := sqliteFile(t)
	d := startDemo(t, "-store", store)
	stays, goes := d.signIn("user1"), d.signIn("user2")
	require.Equal(t, http.StatusNoContent, d.do(http.MethodPost, "/logout", "", as(goes)).status)
	d.stop()

	d = startDemo(t, "-store", store)
	require.Equal(t, http.StatusOK, d.get("/api/me", as(stays)).status)
	requireEnded(t, d.get("/api/me", as(goes)), "logout")
}

func TestDumpHoldsNothingThatWasIssued(t *testing.T) {
	t.Parallel()
	dump := pgDump(t)
	dsn := pgtest.DSN(t)
	d := startDemo(t, "-store", dsn, "-fast")
	var issued []caller
	for n := range 10 {
		c := d.signIn(fmt.Sprintf("user%d", n+1))
		require.Equal(t, http.StatusOK, d.get("/api/me", as(c)).status)
		issued = append(issued, c)
	}
	require.Equal(t, http.StatusNoContent, d.do(http.MethodPost, "/logout", "", as(issued[0])).status)
	derived := mint(t, testSecret, nil)
	require.Equal(t, http.StatusOK, d.get("/api/me", byBearer(derived)).status)
	d.stop() // everything is written

	output, err := exec.Command(dump, "--dbname", dsn).CombinedOutput()
	require.NoError(t, err, "%s", output)
	text, printed := string(output), d.stdout.String()+d.stderr.String()
	for _, c := range issued {
		require.Contains(t, text, c.handle, "the dump is of this database")
		_, secret, _ := strings.Cut(c.token, ".")
		for _, hidden := range []string{secret, c.token, c.bearer, c.bearer[strings.LastIndex(c.bearer, ".")+1:]} {
			require.NotContains(t, text, hidden)
			require.NotContains(t, printed, hidden)
		}
	}
	require.NotContains(t, text, derived)
	require.NotContains(t, printed, derived)
	require.NotContains(t, text+printed, testSecret)
}

// pgDump finds pg_dump as pgtest finds the server.
func pgDump(t *testing.T) string {
	t.Helper()
	if found, err := exec.LookPath("pg_dump"); err == nil {
		return found
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if len(found) == 0 {
		t.Skip("needs pg_dump: neither PATH nor /usr/lib/postgresql has it")
	}
	return found[len(found)-1]
}

// What the default options promise.
const (
	maxStaleness  = 5 * time.Second
	staleGrace    = 30 * time.Second
	touchInterval = 15 * time.Second
	feedInterval  = time.Second
)

func TestOutageOfTheDatabase(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits for the whole of MaxStaleness + StaleGrace")
	}
	cluster := pgtest.NewCluster(t)
	here, there := replicas(t, cluster.DSN())
	warm, elsewhere, again := here.signIn("user1"), there.signIn("user2"), here.signIn("user3")
	derived := mint(t, testSecret, nil)
	for _, c := range []caller{warm, again} {
		require.Equal(t, http.StatusOK, here.get("/api/me", as(c)).status)
	}
	require.Equal(t, http.StatusOK, here.get("/api/me", byBearer(derived)).status)
	require.Equal(t, http.StatusOK, here.get("/healthz").status)

	stopped := time.Now()
	cluster.Stop(pgtest.Fast)
	eventually(t, 2*feedInterval, "away by the feed", func() bool {
		return here.get("/healthz").status == http.StatusServiceUnavailable
	})
	refusesWhatIsNotCached(t, here, elsewhere)
	served, refused := serveThroughOutage(t, here, warm, stopped)
	t.Logf("cached session served until %v, refused from %v", served.Sub(stopped), refused.Sub(stopped))
	assert.Less(t, served.Sub(stopped), maxStaleness+staleGrace+feedInterval/2)
	assert.Greater(t, refused.Sub(stopped), maxStaleness+staleGrace-2*feedInterval)
	requireProblem(t, here.get("/api/me", byBearer(derived)), http.StatusServiceUnavailable, "store_unavailable")
	refusesWhatIsNotCached(t, here, elsewhere)

	cluster.Start()
	returned := time.Now()
	for name, works := range map[string]func(context.Context) (reply, error){
		"health": func(ctx context.Context) (reply, error) { return here.try(ctx, http.MethodGet, "/healthz", "") },
		"cached": func(ctx context.Context) (reply, error) {
			return here.try(ctx, http.MethodGet, "/api/me", "", as(again))
		},
		"not cached": func(ctx context.Context) (reply, error) {
			return here.try(ctx, http.MethodGet, "/api/me", "", as(elsewhere))
		},
		"login": func(ctx context.Context) (reply, error) {
			return here.try(ctx, http.MethodPost, "/login", loginBody("user4@example.com", password))
		},
		"the other replica": func(ctx context.Context) (reply, error) {
			return there.try(ctx, http.MethodGet, "/api/me", "", as(again))
		},
	} {
		eventually(t, 5*time.Second-time.Since(returned), name+" is back within 5 s", func() bool {
			r, err := works(t.Context())
			return assert.NoError(t, err) && assert.NotEqual(t, http.StatusUnauthorized, r.status, name) && r.status == http.StatusOK
		})
	}
	t.Logf("back after %v", time.Since(returned).Round(time.Millisecond))
	keptTouch(t, cluster, warm, served)
}

// refusesWhatIsNotCached checks everything that needs the store, and what does not.
func refusesWhatIsNotCached(t *testing.T, d *demo, uncached caller) {
	t.Helper()
	for name, r := range map[string]reply{
		"a session of elsewhere": d.get("/api/me", as(uncached)),
		"a JWT of its own":       d.get("/api/me", byBearer(mint(t, testSecret, map[string]any{"jti": "new"}))),
		"login":                  d.do(http.MethodPost, "/login", loginBody("user5@example.com", password)),
		"logout":                 d.do(http.MethodPost, "/logout", "", as(uncached)),
		"health":                 d.get("/healthz"),
	} {
		assert.Equal(t, http.StatusServiceUnavailable, r.status, "%s: %s", name, r)
		assert.NotEmpty(t, r.header.Get("Retry-After"), name)
	}
	for _, path := range []string{"/", "/docs", "/static/style.css"} {
		assert.Equal(t, http.StatusOK, d.get(path, as(uncached)).status, path)
	}
	r := d.do(http.MethodPost, "/login", loginBody("user5@example.com", "wrong"), as(uncached))
	assert.Equal(t, http.StatusUnauthorized, r.status, "a wrong password needs no store")
}

// serveThroughOutage uses a cached session until it is refused, and returns when it
// was served last and refused first.
func serveThroughOutage(t *testing.T, d *demo, c caller, stopped time.Time) (served, refused time.Time) {
	t.Helper()
	eventually(t, 2*(maxStaleness+staleGrace), "refused in the end", func() bool {
		asked := time.Now()
		r, err := d.try(t.Context(), http.MethodGet, "/api/me", "", as(c))
		if !assert.NoError(t, err) {
			return true
		}
		switch r.status {
		case http.StatusOK:
			served = asked
			return false
		case http.StatusServiceUnavailable:
			refused = time.Now()
		default:
			assert.Fail(t, "neither 200 nor 503", "%v after the stop: %s", time.Since(stopped), r)
		}
		return true
	})
	for range 5 {
		requireProblem(t, d.get("/api/me", as(c)), http.StatusServiceUnavailable, "store_unavailable")
	}
	return served, refused
}

// keptTouch checks that what was seen during the outage reaches the database: nobody
// has used that session since.
func keptTouch(t *testing.T, cluster *pgtest.Cluster, c caller, served time.Time) {
	t.Helper()
	pool := cluster.Open()
	eventually(t, 5*time.Second, "the touch of the outage is written", func() bool {
		var at time.Time
		err := pool.QueryRowContext(t.Context(), "SELECT last_activity FROM user_sessions WHERE session_id = $1", c.handle).Scan(&at)
		return err == nil && !at.Before(served.Add(-touchInterval))
	})
}
