package storeclock

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// stepped is a clock whose store and system can be set.
type stepped struct {
	Clock
	store, wall time.Duration
}

func newStepped() *stepped {
	s := &stepped{}
	s.system = func() time.Time { return time.Now().Add(s.wall) }
	s.Init()
	s.learn()
	return s
}

// learn takes in an answer of the store.
func (s *stepped) learn() {
	local := s.Local()
	s.Learn(time.Now().Add(s.store), local, local)
}

// off is how far the clock is from the one of the test.
func (s *stepped) off() time.Duration {
	return time.Duration(s.Now()-time.Now().UnixMicro()) * time.Microsecond
}

func TestStepForwardIsDoubted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStepped()
		s.store = 25 * time.Hour
		for range 6 {
			time.Sleep(time.Second)
			s.learn()
			assert.Zero(t, s.off())
			assert.Equal(t, 25*time.Hour, s.Ahead())
		}
		s.store = 0
		s.learn()
		assert.Zero(t, s.off())
		assert.Zero(t, s.Ahead())
	})
}

func TestStepForwardIsConfirmedByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStepped()
		time.Sleep(time.Millisecond)
		s.store = 2 * time.Hour
		for range 600 {
			s.learn()
			assert.Equal(t, 2*time.Hour, s.Ahead())
			time.Sleep(time.Second)
		}
		s.learn()
		assert.Equal(t, 2*time.Hour, s.off())
		assert.Zero(t, s.Ahead())
		s.store = 4 * time.Hour
		s.learn()
		assert.Equal(t, 2*time.Hour, s.off(), "the next step is doubted anew")
	})
}

// TestStepForwardIsConfirmedByTheSystem: after the machine was suspended both clocks have gone on.
func TestStepForwardIsConfirmedByTheSystem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStepped()
		s.store, s.wall = 8*time.Hour, 8*time.Hour
		s.learn()
		assert.Equal(t, 8*time.Hour, s.off())
		assert.Zero(t, s.Ahead())
	})
}

func TestSmallStepsAndStepsBackAreBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newStepped()
		for _, store := range []time.Duration{time.Minute, 2 * time.Minute, 0, -25 * time.Hour} {
			s.store = store
			s.learn()
			assert.Equal(t, store, s.off())
			assert.Zero(t, s.Ahead())
		}
		assert.Equal(t, -25*time.Hour, s.AheadOfSystem())
	})
}

// TestFirstTimeIsBelieved: replicas whose own clocks disagree judge alike.
func TestFirstTimeIsBelieved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &stepped{store: 25 * time.Hour}
		s.Init()
		assert.False(t, s.Learnt())
		s.learn()
		assert.True(t, s.Learnt())
		assert.Equal(t, 25*time.Hour, s.off())
		assert.Equal(t, 25*time.Hour, s.AheadOfSystem())
	})
}
