package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack"
)

const (
	replacing = "create/failing leaves another user's session"
	denying   = "race/a denied limit holds"
)

// hasty ends what a sign-in replaces though the limit refuses the sign-in.
func hasty() sessiontrack.Store {
	return creating{newPatched(sessiontrack.NewMemoryStore()),
		func(p *patched, ctx context.Context, n sessiontrack.NewSession) (sessiontrack.CreateResult, error) {
			created, err := p.MemoryStore.Create(ctx, n)
			if errors.Is(err, sessiontrack.ErrLimit) && n.Replaces != "" {
				_, endErr := p.MemoryStore.End(ctx, sessiontrack.IDs(n.Replaces),
					sessiontrack.Ending{Reason: sessiontrack.ReasonReplacement})
				return created, errors.Join(err, endErr)
			}
			return created, err
		}}
}

// TestDeclaredCasesRun: a declared case runs, and tells what it finds.
func TestDeclaredCasesRun(t *testing.T) {
	t.Parallel()
	c := named(t, replacing)
	findings, err := inexactness(c, record(t.Context(), c, hasty()))
	require.NoError(t, err)
	assert.Contains(t, findings, "whether the session is alive")

	_, err = inexactness(c, record(t.Context(), c, sessiontrack.NewMemoryStore()))
	require.ErrorContains(t, err, "the store holds it", "a declaration that is not true")

	c = named(t, denying)
	findings, err = inexactness(c, record(t.Context(), c, sessiontrack.NewMemoryStore()))
	require.NoError(t, err, "a race may be won by luck")
	assert.Equal(t, "it held this time", findings)

	c = named(t, "feed/zero asks for the time")
	_, err = inexactness(c, record(t.Context(), c, onlyStore{sessiontrack.NewMemoryStore()}))
	require.ErrorContains(t, err, "the store has no sessiontrack.EndedFeed", "a capability that is not there")

	c = named(t, replacing)
	_, err = inexactness(c, record(t.Context(), c, nil))
	require.ErrorContains(t, err, "not panic")
}

// TestDeclarationsAreChecked: a name that no case has would declare nothing.
func TestDeclarationsAreChecked(t *testing.T) {
	t.Parallel()
	assert.Empty(t, Options{}.wrong())
	assert.Empty(t, Options{Inexact: map[string]string{replacing: "The store locks one user only."}}.wrong())
	assert.Equal(t, []string{`there is no case "create/failing"`, `"` + denying + `" has no reason`},
		Options{Inexact: map[string]string{denying: " ", "create/failing": "So it is."}}.wrong())
}

// TestTheRestIsHeld: a store that is inexact in one case is held to all the others.
func TestTheRestIsHeld(t *testing.T) {
	t.Parallel()
	RunWith(t, func(*testing.T) sessiontrack.Store { return hasty() }, Options{Inexact: map[string]string{
		replacing: "What a sign-in replaces ends, even if the limit refuses the sign-in.",
	}})
}
