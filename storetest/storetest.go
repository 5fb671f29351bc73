// Package storetest proves an implementation of [sessiontrack.Store].
//
// Call [Run] from a test of the implementation's own package:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) sessiontrack.Store { return mystore.New(…) })
//	}
//
// Each case says why it exists, mostly by a rule or by an incident of another
// library that it would have caught. The optional capabilities are tested where
// the store has them, and reported as skipped where it has not.
package storetest

import (
	"testing"

	"github.com/sessiontrack/sessiontrack"
)

// Run holds a store against the contract of [sessiontrack.Store], a subtest for
// each rule. newStore is called once for each of them, must return an empty store
// that shares nothing with the others, and cleans up with t.Cleanup.
//
// The subtests run in parallel. They never compare the store's time with the
// machine's, wait for milliseconds only, and need a store that answers a call
// within some seconds.
func Run(t *testing.T, newStore func(t *testing.T) sessiontrack.Store) {
	t.Helper()
	for _, c := range cases() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("why this case exists: %s", c.why)
				}
			})
			c.run(&check{tb: t, store: newStore(t)})
		})
	}
}

// testCase is one rule: run fails where the store breaks it.
type testCase struct {
	name, why string
	run       func(c *check)
}

// cases returns the suite.
func cases() (all []testCase) {
	for _, family := range [][]testCase{
		createCases, limitCases, getCases, touchCases, describeCases, endCases, walkCases,
		purgeCases, listCases, pageCases, feedCases, changeCases, onlineCases, statsCases, historyCases,
		hostileCases, raceCases, fenceCases, leaseCases, capabilityCases,
	} {
		all = append(all, family...)
	}
	return all
}
