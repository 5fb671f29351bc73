package sessiontrack

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// filledMemory returns a store with n sessions, three a user.
func filledMemory(b *testing.B, n int) (*MemoryStore, []SessionID) {
	b.Helper()
	s, ids := NewMemoryStore(), make([]SessionID, n)
	for i := range ids {
		ids[i] = memoryCreate(b, s, fmt.Sprint(i/3)).ID
	}
	b.ReportAllocs()
	return s, ids
}

const benchRows = 100_000

func BenchmarkMemoryStore(b *testing.B) {
	b.Run("Get", func(b *testing.B) {
		s, ids := filledMemory(b, benchRows)
		for i := 0; b.Loop(); i++ {
			_, err := s.Get(b.Context(), ids[i*7919%benchRows])
			require.NoError(b, err)
		}
	})
	b.Run("Create", func(b *testing.B) {
		s, _ := filledMemory(b, benchRows)
		for i := 0; b.Loop(); i++ {
			_, err := s.Create(b.Context(), NewSession{Session: Session{ID: newHandle().id(), UserID: fmt.Sprint(i)}, Limit: 3})
			require.NoError(b, err)
		}
	})
	for _, step := range []time.Duration{0, 30 * time.Second} {
		b.Run(fmt.Sprintf("Touch1000/step=%v", step), func(b *testing.B) {
			s, ids := filledMemory(b, benchRows)
			batch := make([]TouchRecord, 1000)
			for i := 0; b.Loop(); i++ {
				for j := range batch {
					batch[j] = TouchRecord{ID: ids[(i*1000+j)*7919%benchRows], At: time.Now()}
				}
				_, err := s.Touch(b.Context(), batch, step)
				require.NoError(b, err)
			}
		})
	}
	b.Run("End/idle walk of 1000", func(b *testing.B) {
		s, _ := filledMemory(b, benchRows)
		for after := int64(0); b.Loop(); {
			ended, err := s.End(b.Context(), Idle(time.Hour).Walk(after, 1000), Ending{Reason: ReasonIdle})
			require.NoError(b, err)
			after = ended.Next
		}
	})
}

// BenchmarkMemoryStoreLists is what answers questions about many.
func BenchmarkMemoryStoreLists(b *testing.B) {
	windows := []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour}
	b.Run("CountOnline", func(b *testing.B) {
		s, _ := filledMemory(b, benchRows)
		for b.Loop() {
			_, _, err := s.CountOnline(b.Context(), windows)
			require.NoError(b, err)
		}
	})
	for _, page := range []int{1, 300} {
		b.Run(fmt.Sprintf("ListOnline/page=%d", page), func(b *testing.B) {
			s, _ := filledMemory(b, benchRows)
			q := OnlineQuery{Window: time.Hour, Limit: 100}
			for range page - 1 {
				got, err := s.ListOnline(b.Context(), q)
				require.NoError(b, err)
				q.After = got.Next
			}
			for b.Loop() {
				_, err := s.ListOnline(b.Context(), q)
				require.NoError(b, err)
			}
		})
	}
	b.Run("List/all", func(b *testing.B) {
		s, _ := filledMemory(b, benchRows)
		for b.Loop() {
			_, err := s.List(b.Context(), Query{Limit: 50})
			require.NoError(b, err)
		}
	})
}
