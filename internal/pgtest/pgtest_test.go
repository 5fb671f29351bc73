package pgtest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const envHelper = "PGTEST_HELPER"

func TestOpenGivesEachTestItsOwnDatabase(t *testing.T) {
	t.Parallel()
	first, second := Open(t), Open(t)
	_, err := first.ExecContext(t.Context(), "CREATE TABLE mine (x int)")
	require.NoError(t, err)
	var there *string
	require.NoError(t, second.QueryRowContext(t.Context(), "SELECT to_regclass('mine')::text").Scan(&there))
	assert.Nil(t, there, "the other database must not have the table")
}

func TestDatabaseIsDroppedWithTheTest(t *testing.T) {
	t.Parallel()
	var name string
	admin := OpenDSN(t, serverDSN(t))
	t.Run("inner", func(t *testing.T) {
		require.NoError(t, Open(t).QueryRowContext(t.Context(), "SELECT current_database()").Scan(&name))
	})
	var left int
	require.NoError(t, admin.QueryRowContext(t.Context(),
		"SELECT count(*) FROM pg_database WHERE datname = $1", name).Scan(&left))
	assert.Zero(t, left)
}

func TestWithDatabase(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ dsn, want string }{
		"url":     {"postgres://u:p@h:1/old?sslmode=disable", "postgres://u:p@h:1/new?sslmode=disable"},
		"socket":  {"postgres://u@/old?host=%2Ftmp", "postgres://u@/new?host=%2Ftmp"},
		"keyword": {"host=/tmp dbname=old", "host=/tmp dbname=old dbname=new"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := withDatabase(test.dsn, "new")
			require.NoError(t, err)
			assert.Equal(t, test.want, got)
		})
	}
}

func TestClusterStopsStartsAndKeepsItsData(t *testing.T) {
	t.Parallel()
	c := NewCluster(t)
	db := OpenDSN(t, c.DSNAt(c.Addr()))
	_, err := db.ExecContext(t.Context(), "CREATE TABLE kept AS SELECT 1 AS x")
	require.NoError(t, err)
	for _, mode := range []Mode{Fast, Immediate} {
		if mode == Immediate {
			_, err = db.ExecContext(t.Context(), "CHECKPOINT")
			require.NoError(t, err)
		}
		c.Stop(mode)
		require.Error(t, db.PingContext(t.Context()))
		c.Start()
		require.Eventually(t, func() bool {
			var x int
			return db.QueryRowContext(t.Context(), "SELECT x FROM kept").Scan(&x) == nil && x == 1
		}, 10*time.Second, pollInterval)
	}
	log, err := os.ReadFile(c.LogPath())
	require.NoError(t, err)
	assert.Contains(t, string(log), "ready to accept connections")
}

func TestFrozenClusterAnswersNothingUntilThawed(t *testing.T) {
	t.Parallel()
	c := NewCluster(t)
	db := c.Open()
	require.NoError(t, db.PingContext(t.Context()))
	c.Freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := db.ExecContext(ctx, "SELECT 1")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	c.Thaw()
	_, err = db.ExecContext(t.Context(), "SELECT 1")
	require.NoError(t, err)
}

func TestProxyCutsRefusesAndSwallows(t *testing.T) {
	t.Parallel()
	c := NewCluster(t)
	p := NewProxy(t, c.Addr())
	db := OpenDSN(t, c.DSNAt(p.Addr()))
	conn, err := db.Conn(t.Context()) // a pool may ping before it reuses a connection
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "CREATE TABLE seen (x int)")
	require.NoError(t, err)

	p.Swallow(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = conn.ExecContext(ctx, "INSERT INTO seen VALUES (1)")
	require.Error(t, err, "the answer must not arrive")
	p.Refuse(true)
	p.Swallow(false)
	p.Cut()
	require.Error(t, db.PingContext(t.Context()))

	p.Refuse(false)
	require.Eventually(t, func() bool {
		var rows int
		return db.QueryRowContext(t.Context(), "SELECT count(*) FROM seen").Scan(&rows) == nil && rows == 1
	}, 10*time.Second, pollInterval, "the statement must have reached the server")
}

// TestServerDoesNotOutliveAKilledBinary runs this binary again, lets it start a server, and kills
// the binary.
func TestServerDoesNotOutliveAKilledBinary(t *testing.T) {
	t.Parallel()
	requireBinaries(t)
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperServer$", "-test.v")
	cmd.Env = append(os.Environ(), envHelper+"=1")
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())

	var folder string
	for lines := bufio.NewScanner(output); folder == "" && lines.Scan(); {
		_, folder, _ = strings.Cut(lines.Text(), "folder=")
	}
	require.NotEmpty(t, folder, "the helper must name its folder")
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait() // its error says that the process was killed
	assert.Eventually(t, func() bool {
		_, err := os.Stat(folder)
		return os.IsNotExist(err)
	}, 20*time.Second, pollInterval, "the guardian removes the folder once the server has ended")
}

// TestHelperServer is the process that gets killed. It waits.
func TestHelperServer(t *testing.T) {
	if os.Getenv(envHelper) == "" {
		t.Skip("run only by TestServerDoesNotOutliveAKilledBinary")
	}
	s, err := startServer(false)
	require.NoError(t, err)
	os.Stdout.WriteString("\nfolder=" + s.folder + "\n")
	<-t.Context().Done()
}
