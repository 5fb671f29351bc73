package storetest_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/storetest"
)

// countingStore is a Store of a host. It embeds another store and adds a counter.
type countingStore struct {
	sessiontrack.Store
	logins atomic.Int64
}

func (s *countingStore) Create(ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
	created, err := s.Store.Create(ctx, n)
	if err == nil {
		s.logins.Add(1)
	}
	return created, err
}

// This test is all that a store's package needs to prove its store.
func TestCountingStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) sessiontrack.Store {
		return &countingStore{Store: sessiontrack.NewMemoryStore()}
	})
}

// A host's Store works under a Tracker. It has none of the optional capabilities, and every
// question is still answered. TestCountingStore in this file proves it with storetest.Run.
func ExampleRun() {
	store := &countingStore{Store: sessiontrack.NewMemoryStore()}
	tracker, err := sessiontrack.New(store, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, user := range []string{"1", "2", "2"} {
		_, _, _ = tracker.Login(httptest.NewRecorder(), httptest.NewRequest("POST", "/login", nil), user)
	}
	stats, err := tracker.OnlineStats(context.Background())
	fmt.Println(store.logins.Load(), "sign-ins,", stats.Online, "users,", stats.ActiveSessions, "sessions", err)
	// Output: 3 sign-ins, 2 users, 3 sessions <nil>
}
