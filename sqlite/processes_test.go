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
	"strconv"
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

// writeUntilKilled makes sessions, ends every second one, and tells what was acknowledged.
func writeUntilKilled(store *sqlite.Store) error {
	ctx := context.Background()
	for i := 0; ; i++ {
		created, err := store.Create(ctx, newSession("42"))
		if err != nil {
			return err
		}
		word := "live"
		if i%2 == 0 {
			if _, err := store.End(ctx, sessiontrack.IDs(created.Session.ID), sessiontrack.Ending{Reason: sessiontrack.ReasonAdmin}); err != nil {
				return err
			}
			word = "ended"
		}
		if _, err := fmt.Println(word, created.Session.ID); err != nil {
			return err
		}
	}
}

// writeInACrowd is one of several processes with four writers each; they sign one user
// in under a limit.
func writeInACrowd(store *sqlite.Store) error {
	failures := make(chan error, 4)
	var worst sync.Map
	for w := range cap(failures) {
		go func() { failures <- signIn(store, w, &worst) }()
	}
	for range cap(failures) {
		if err := <-failures; err != nil {
			return err
		}
	}
	longest := time.Duration(0)
	worst.Range(func(_, d any) bool { longest = max(longest, d.(time.Duration)); return true })
	_, err := fmt.Println(longest.Milliseconds())
	return err
}

const (
	crowdSignIns = 60
	crowdLimit   = 5
)

func signIn(store *sqlite.Store, writer int, worst *sync.Map) error {
	longest := time.Duration(0)
	for range crowdSignIns {
		n := newSession("shared")
		n.Limit = crowdLimit
		began := time.Now()
		if _, err := store.Create(context.Background(), n); err != nil {
			return err
		}
		longest = max(longest, time.Since(began))
	}
	worst.Store(writer, longest)
	return nil
}

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
	if os.Getenv("SESSIONTRACK_LONG") != "" {
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

// TestProcessesShareOneFile: four processes with four writers each work on one file
// without an error; the limit holds, and each sees the others' ends.
func TestProcessesShareOneFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions.db")
	store := openFile(t, path)
	began, err := store.EndedSince(t.Context(), time.Time{}, 1)
	require.NoError(t, err)
	worst := make([]int, 4)
	var group sync.WaitGroup
	for i := range worst {
		group.Go(func() {
			out, err := process(t, "crowd", path).Output()
			if assert.NoError(t, err) {
				worst[i], err = strconv.Atoi(strings.TrimSpace(string(out)))
				assert.NoError(t, err)
			}
		})
	}
	group.Wait()
	page, err := store.List(t.Context(), sessiontrack.Query{UserID: "shared", Live: true, Limit: 100})
	require.NoError(t, err)
	assert.Len(t, page.Sessions, crowdLimit)
	feed, err := store.EndedSince(t.Context(), began.Now.Add(-time.Second), 10_000)
	require.NoError(t, err)
	assert.Len(t, feed.Ended, 4*4*crowdSignIns-crowdLimit)
	t.Logf("worst call of each process: %v ms", worst)
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
	require.Eventually(t, func() bool {
		_, err := trackers[1].Authenticate(request)
		return errors.Is(err, sessiontrack.ErrEnded)
	}, 30*time.Second, 20*time.Millisecond)
}
