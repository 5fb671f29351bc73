package storetest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// FaultyStore passes calls on to a store, and on request lets them fail, wait or lose their answers.
// A host tests with it what its own pages do during an outage. It is safe for concurrent use.
//
// The methods that control it take the names of methods of the store, such as "Get" or "End"; none
// means all. They panic for a name that no store has.
type FaultyStore struct {
	inner wholeStore

	mu     sync.Mutex
	rules  map[string]fault
	calls  map[string]int
	leases map[string]time.Time // when each job was last given
}

// fault is what happens to the calls of one method.
type fault struct {
	err   error
	delay time.Duration
	lose  bool
}

// wholeStore is a store with the capabilities that every store of this module has.
type wholeStore interface {
	sessiontrack.Store
	sessiontrack.ChangeFeed
	sessiontrack.OnlineReader
	sessiontrack.Historian
	sessiontrack.Counter
	sessiontrack.Reader
	sessiontrack.Renewer
	sessiontrack.Auditor
}

// faultyMethods are the methods that can be named.
var faultyMethods = []string{
	"Create", "Get", "Touch", "Describe", "End", "List", "Purge", "EndedSince", "ChangesSince", "CountOnline",
	"ListOnline", "CountStats", "Sample", "RollUp", "ReadHistory", "Lease", "Check", "Count",
	"Renew", "Read", "Record", "Audit", "PurgeAudit",
}

// Faulty returns a store that works as store does until it is told otherwise. It panics if store
// lacks a capability that the stores of this module have in common: [sessiontrack.ChangeFeed],
// [sessiontrack.OnlineReader], [sessiontrack.Historian], [sessiontrack.Counter], [sessiontrack.Reader],
// [sessiontrack.Renewer] and [sessiontrack.Auditor].
func Faulty(store sessiontrack.Store) *FaultyStore {
	inner, ok := store.(wholeStore)
	if !ok {
		panic(fmt.Sprintf("storetest: Faulty: %T: want a store that is a ChangeFeed, an OnlineReader, a Counter and a Historian", store))
	}
	return &FaultyStore{inner: inner, rules: map[string]fault{}, calls: map[string]int{},
		leases: map[string]time.Time{}}
}

// Fail lets calls fail with err, without the store's being called. A nil err heals. An outage is
// [sessiontrack.ErrUnavailable].
func (f *FaultyStore) Fail(err error, methods ...string) {
	f.change("Fail", methods, func(to *fault) { to.err = err })
}

// Delay lets calls wait before they are passed on. A call whose context ends meanwhile fails with
// the context's error. Zero lets them go on at once.
func (f *FaultyStore) Delay(d time.Duration, methods ...string) {
	f.change("Delay", methods, func(to *fault) { to.delay = d })
}

// LoseAnswers lets the store carry out the calls, and the caller get
// [sessiontrack.ErrUnavailable]: the outcome is unknown to it. False heals.
func (f *FaultyStore) LoseAnswers(lose bool, methods ...string) {
	f.change("LoseAnswers", methods, func(to *fault) { to.lose = lose })
}

// Calls returns how often a method has been called, also where the call failed.
func (f *FaultyStore) Calls(method string) int {
	mustMethod("Calls", method)
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[method]
}

func (f *FaultyStore) change(caller string, methods []string, set func(*fault)) {
	if len(methods) == 0 {
		methods = faultyMethods
	}
	for _, method := range methods {
		mustMethod(caller, method)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, method := range methods {
		rule := f.rules[method]
		set(&rule)
		f.rules[method] = rule
	}
}

func mustMethod(caller, method string) {
	if !slices.Contains(faultyMethods, method) {
		panic(fmt.Sprintf("storetest: %s: no store has the method %q", caller, method))
	}
}

// through passes one call on.
func through[T any](ctx context.Context, f *FaultyStore, method string, call func() (T, error)) (T, error) {
	f.mu.Lock()
	f.calls[method]++
	rule := f.rules[method]
	f.mu.Unlock()
	var none T
	if rule.delay > 0 {
		timer := time.NewTimer(rule.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return none, ctx.Err()
		}
	}
	if rule.err != nil {
		return none, rule.err
	}
	answer, err := call()
	if rule.lose && err == nil {
		return none, fmt.Errorf("%w: the answer of %s was lost", sessiontrack.ErrUnavailable, method)
	}
	return answer, err
}
