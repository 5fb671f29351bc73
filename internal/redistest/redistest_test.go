package redistest

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerForgetsWithACrashAndKeepsItsAddress(t *testing.T) {
	t.Parallel()
	s := Start(t)
	addr := s.Addr()
	_, err := ask(addr, "SET", "k", "v")
	require.NoError(t, err)
	s.Kill()
	_, err = ask(addr, "PING")
	require.Error(t, err)
	s.Restart()
	require.Equal(t, addr, s.Addr())
	n, err := ask(addr, "EXISTS", "k")
	require.NoError(t, err)
	assert.Equal(t, "0", n)
}

func TestServerGoesWithItsTest(t *testing.T) {
	t.Parallel()
	var addr, folder string
	t.Run("inner", func(t *testing.T) {
		s := Start(t)
		addr, folder = s.Addr(), s.s.folder
	})
	_, err := ask(addr, "PING")
	require.Error(t, err)
	assert.NoDirExists(t, folder)
}

func TestFrozenServerAnswersNothingUntilThawed(t *testing.T) {
	t.Parallel()
	s := Start(t)
	s.Freeze()
	_, err := ask(s.Addr(), "PING")
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	s.Thaw()
	require.Eventually(t, func() bool { _, err := ask(s.Addr(), "PING"); return err == nil }, 10*time.Second, pollInterval)
}

func TestClusterServesEverySlot(t *testing.T) {
	t.Parallel()
	addrs := SharedCluster(t)
	require.Len(t, addrs, 6)
	for _, addr := range addrs {
		info, err := ask(addr, "CLUSTER", "INFO")
		require.NoError(t, err)
		assert.Contains(t, info, "cluster_slots_ok:16384")
	}
}
