package sqlite_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/sqlite"
)

// roleVariable makes the test's binary another process of the application.
const roleVariable = "SQLITE_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func play(role, path string) error {
	store, err := sqlite.Open(path, &sqlite.Options{BusyTimeout: 30 * time.Second})
	if err != nil {
		return err
	}
	defer store.Close()
	switch role {
	case "writer":
		return writeUntilKilled(store)
	case "crowd":
		return writeInACrowd(store)
	}
	return fmt.Errorf("no such role: %s", role)
}

// writers is how many goroutines of each process write at once.
const writers = 4

// atOnce runs f in several goroutines, and returns the first error.
func atOnce(f func(writer int) error) error {
	failures := make(chan error, writers)
	for w := range writers {
		go func() { failures <- f(w) }()
	}
	for range writers {
		if err := <-failures; err != nil {
			return err
		}
	}
	return nil
}

// writeUntilKilled makes sessions, uses them, ends every second one, and tells what was acknowledged.
func writeUntilKilled(store *sqlite.Store) error {
	ctx := context.Background()
	return atOnce(func(int) error {
		for i := 0; ; i++ {
			created, err := store.Create(ctx, newSession("42"))
			if err != nil {
				return err
			}
			id, word := created.Session.ID, "live"
			if _, err := store.Touch(ctx, []sessiontrack.TouchRecord{{ID: id, At: time.Now()}}, 0); err != nil {
				return err
			}
			if i%2 == 0 {
				ending := sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin}
				if _, err := store.End(ctx, sessiontrack.IDs(id), ending); err != nil {
					return err
				}
				word = "ended"
			}
			if _, err := fmt.Println(word, id); err != nil { // a line of this length is written whole
				return err
			}
		}
	})
}

const (
	crowdSignIns = 60 // of each writer; a minute long in the long form
	crowdLimit   = 5
)

// writeInACrowd is one of several processes with four writers each; they sign one user in under a
// limit. It tells how many sign-ins there were, and how long the longest took.
func writeInACrowd(store *sqlite.Store) error {
	var signIns [writers]int
	var longest [writers]time.Duration
	enough := func(done int, began time.Time) bool {
		if long() {
			return time.Since(began) > time.Minute
		}
		return done == crowdSignIns
	}
	started := time.Now()
	err := atOnce(func(w int) error {
		for ; !enough(signIns[w], started); signIns[w]++ {
			n := newSession("shared")
			n.Limit = crowdLimit
			began := time.Now()
			if _, err := store.Create(context.Background(), n); err != nil {
				return err
			}
			longest[w] = max(longest[w], time.Since(began))
		}
		return nil
	})
	if err != nil {
		return err
	}
	total := 0
	for _, n := range signIns {
		total += n
	}
	_, err = fmt.Println(total, slices.Max(longest[:]).Milliseconds())
	return err
}

// long reports whether the long forms run.
func long() bool { return os.Getenv("SESSIONTRACK_LONG") != "" }

func process(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), self, path)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// TestKilledProcessLosesNothing: whatever was acknowledged is there after SIGKILL, and
// the file is whole.
func TestKilledProcessLosesNothing(t *testing.T) {
	t.Parallel()
	rounds := 10
	if long() {
		rounds = 50
	}
	path := filepath.Join(t.TempDir(), "sessions.db")
	store := openFile(t, path)
	acknowledged := make(map[sessiontrack.SessionID]bool)
	for round := range rounds {
		cmd := process(t, "writer", path)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		killAfter(t, cmd, out, 10+round*7, acknowledged)
	}
	for id, ended := range acknowledged {
		got, err := store.Get(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, ended, got.Ended(), "%s", id)
	}
	var whole string
	require.NoError(t, pool(t, path, goodPragmas...).QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&whole))
	require.Equal(t, "ok", whole)
	t.Logf("%d kills, %d acknowledged, 0 lost", rounds, len(acknowledged))
}

// killAfter kills the writer once it has told of that many sessions.
func killAfter(t *testing.T, cmd *exec.Cmd, out io.Reader, n int, acknowledged map[sessiontrack.SessionID]bool) {
	t.Helper()
	lines, killed := bufio.NewScanner(out), false
	for told := 0; lines.Scan(); told++ {
		word, id, ok := strings.Cut(lines.Text(), " ")
		if _, err := sessiontrack.ParseSessionID(id); !ok || err != nil {
			continue // cut off by the kill
		}
		acknowledged[sessiontrack.SessionID(id)] = word == "ended"
		if told >= n && !killed {
			killed = true
			require.NoError(t, cmd.Process.Kill())
		}
	}
	assert.Error(t, cmd.Wait(), "the writer ends by the kill alone")
	require.True(t, killed)
}

// TestProcessesShareOneFile: four processes with four writers each work on one file without an
// error; the limit holds, and every end that the limit asks for has happened once.
func TestProcessesShareOneFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	store := openFile(t, path)
	var total, worst [4]int
	var group sync.WaitGroup
	for i := range total {
		group.Go(func() {
			out, err := process(t, "crowd", path).Output()
			if assert.NoError(t, err) {
				_, err = fmt.Sscan(string(out), &total[i], &worst[i])
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	page, err := store.List(t.Context(), sessiontrack.Query{UserID: "shared", Live: true, Limit: 100})
	require.NoError(t, err)
	assert.Len(t, page.Sessions, crowdLimit)
	var ended int
	require.NoError(t, pool(t, path, goodPragmas...).QueryRowContext(t.Context(),
		"SELECT count(*) FROM user_sessions WHERE end_reason = 'limit'").Scan(&ended))
	signIns := total[0] + total[1] + total[2] + total[3]
	assert.GreaterOrEqual(t, signIns, len(total)*writers*crowdSignIns)
	assert.Equal(t, signIns-crowdLimit, ended)
	t.Logf("%d sign-ins of 4 processes with 4 writers each; the longest of each process: %v ms", signIns, worst)
}

// TestTrackersOnOneFileAreReplicas: an end at one Tracker is refused by another one on
// the same file.
func TestTrackersOnOneFileAreReplicas(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	var trackers [2]*sessiontrack.Tracker
	for i := range trackers {
		tracker, err := sessiontrack.New(openFile(t, path), &sessiontrack.Options{StoreTimeout: 5 * time.Second, MaxStaleness: 5 * time.Second})
		require.NoError(t, err)
		require.NoError(t, tracker.Start(t.Context()))
		t.Cleanup(func() { assert.NoError(t, tracker.Shutdown(context.WithoutCancel(t.Context()))) })
		trackers[i] = tracker
	}
	request, answer := httptest.NewRequest(http.MethodPost, "/", nil), httptest.NewRecorder()
	s, token, err := trackers[0].Login(answer, request, "42")
	require.NoError(t, err)
	request.Header.Set("X-Session-Id", token.Reveal())
	_, err = trackers[1].Authenticate(request)
	require.NoError(t, err)
	_, err = trackers[0].End(t.Context(), sessiontrack.IDs(s.ID), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin})
	require.NoError(t, err)
	acknowledged := time.Now()
	require.Eventually(t, func() bool {
		_, err := trackers[1].Authenticate(request)
		return errors.Is(err, sessiontrack.ErrEnded)
	}, 30*time.Second, 20*time.Millisecond)
	t.Logf("refused by the other after %v", time.Since(acknowledged).Round(time.Millisecond))
}
