package redistest

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestServerForgetsWithACrashAndKeepsItsAddress(t *testing.T) {
	t.Parallel()
	s := Start(t)
	client := s.Client()
	require.NoError(t, client.Do(t.Context(), client.B().Set().Key("k").Value("v").Build()).Error())
	s.Kill()
	require.Error(t, client.Do(t.Context(), client.B().Set().Key("k").Value("v").Build()).Error())
	s.Restart()
	require.Eventually(t, func() bool {
		n, err := client.Do(t.Context(), client.B().Exists().Key("k").Build()).AsInt64()
		return err == nil && n == 0
	}, 10*time.Second, pollInterval)
}

func TestFrozenServerAnswersNothingUntilThawed(t *testing.T) {
	t.Parallel()
	s := Start(t)
	client := s.Client()
	require.NoError(t, client.Do(t.Context(), client.B().Ping().Build()).Error())
	s.Freeze()
	answered := make(chan error, 1)
	go func() { answered <- client.Do(t.Context(), client.B().Ping().Build()).Error() }()
	select {
	case <-answered:
		t.Fatal("a frozen server answered")
	case <-time.After(50 * time.Millisecond):
	}
	s.Thaw()
	require.NoError(t, <-answered)
}

func TestClusterServesEverySlot(t *testing.T) {
	t.Parallel()
	client := SharedCluster(t)
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g"} {
		require.NoError(t, client.Do(t.Context(), client.B().Set().Key(key).Value(key).Build()).Error())
		got, err := client.Do(t.Context(), client.B().Get().Key(key).Build()).ToString()
		require.NoError(t, err)
		assert.Equal(t, key, got)
	}
}
