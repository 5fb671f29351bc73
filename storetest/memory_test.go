package storetest_test

import (
	"testing"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/storetest"
)

func TestMemoryStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) sessiontrack.Store { return sessiontrack.NewMemoryStore() })
}
