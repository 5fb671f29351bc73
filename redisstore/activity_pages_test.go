package redisstore_test

import (
	"fmt"
	"hash/fnv"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/redistest"
)

// namesOf returns names of users that lie in one of 8 buckets, or in all others.
func namesOf(n int, first bool) (names []string) {
	for i := 0; len(names) < n; i++ {
		name := fmt.Sprintf("user-%d", i)
		h := fnv.New64a()
		_, _ = h.Write([]byte(name))
		if (h.Sum64()%8 == 0) == first {
			names = append(names, name)
		}
	}
	return names
}

// TestActivityPagesUsersOfOneBucket reads pages of users where the latest all lie in one
// bucket, so that its share of a page is the whole page, and where many have one time.
func TestActivityPagesUsersOfOneBucket(t *testing.T) {
	t.Parallel()
	store := activityOver(t, sessiontrack.NewMemoryStore(), dial(t, redistest.Shared(t)))
	names := append(namesOf(100, false), namesOf(100, true)...)
	var batch []sessiontrack.TouchRecord
	for i, name := range names {
		s := signIn(t, store, name)
		if i%5 == 0 {
			batch = append(batch, sessiontrack.TouchRecord{ID: s.ID})
		}
	}
	at := now(t, store)
	want := []string{}
	for i, name := range slices.Backward(names) {
		if i%5 != 0 {
			want = append(want, name)
		}
	}
	tied := []string{}
	for i := range batch {
		batch[i].At = at
		tied = append(tied, names[5*i])
	}
	slices.Sort(tied)
	want = append(tied, want...)
	_, err := store.Touch(t.Context(), batch, 0)
	require.NoError(t, err)
	for _, limit := range []int{1, 7, 50, 100} {
		got := []string{}
		q := sessiontrack.OnlineQuery{Window: time.Hour, Limit: limit}
		for {
			page, err := store.(sessiontrack.OnlineReader).ListOnline(t.Context(), q)
			require.NoError(t, err)
			for _, u := range page.Users {
				got = append(got, u.UserID)
			}
			if q.After = page.Next; q.After.IsZero() {
				break
			}
		}
		assert.Equal(t, want, got, "pages of %d", limit)
	}
}
