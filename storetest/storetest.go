// Package storetest tests an implementation of [sessiontrack.Store].
//
// Call [Run] from a test of the implementation's own package:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) sessiontrack.Store { return mystore.New(…) })
//	}
//
// Each case says why it exists: by a rule, or by a bug of another library that it would have found.
// An optional capability is tested if the store has it; otherwise its cases are reported as
// skipped. A store whose engine cannot hold a case says so by [Options]; all the rest is held to the
// letter.
package storetest

import (
	"testing"

	"github.com/sessiontrack/sessiontrack"
)

// Run tests a store against the contract of [sessiontrack.Store], with one subtest per rule. It
// calls newStore once per subtest. newStore must return an empty store that shares no data with the
// others, and register its cleanup with t.Cleanup.
//
// The subtests run in parallel. They never compare the store's time with the machine's, and wait
// only for milliseconds. The store must answer a call within a few seconds.
func Run(t *testing.T, newStore func(t *testing.T) sessiontrack.Store) {
	t.Helper()
	RunWith(t, newStore, Options{})
}

// testCase is one rule. run fails if the store breaks it.
type testCase struct {
	name, why string
	run       func(c *check)
}

// cases returns the suite.
func cases() (all []testCase) {
	for _, family := range [][]testCase{
		createCases, limitCases, getCases, readCases, touchCases, describeCases, endCases, walkCases,
		purgeCases, listCases, filterCases, pageCases, feedCases, changeCases, onlineCases, statsCases, historyCases,
		hostileCases, raceCases, fenceCases, providerCases, leaseCases, renewCases, labelCases, presenceCases, auditCases, capabilityCases,
	} {
		all = append(all, family...)
	}
	return all
}
