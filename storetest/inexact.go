package storetest

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/sessiontrack/sessiontrack"
)

// Options says what the suite may expect of a store that cannot be exact in everything. The zero
// value expects all of it.
type Options struct {
	// Inexact names the cases that the store cannot hold, each with its reason: the name as the
	// subtest shows it, such as "create/failing leaves another user's session", and a sentence for
	// the store's users. Such a case runs like every other one. What it finds is reported with the
	// reason, as skipped.
	//
	// A name that is no case, and an empty reason, fail the test. So does a declared case that the
	// store holds, so that the list stays true: cases named "race/…" excepted, where a store may win
	// by luck. So does a panic. A case is one rule; a case that finds too much under one name
	// should be split, not declared.
	Inexact map[string]string
}

// RunWith is [Run] for a store that declares by o what is inexact in it.
func RunWith(t *testing.T, newStore func(t *testing.T) sessiontrack.Store, o Options) {
	t.Helper()
	if wrong := o.wrong(); len(wrong) > 0 {
		t.Fatalf("storetest: Options.Inexact: %s", strings.Join(wrong, "; "))
	}
	for _, c := range cases() {
		reason, inexact := o.Inexact[c.name]
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("why this case exists: %s", c.why)
				}
			})
			if !inexact {
				c.run(&check{tb: t, store: newStore(t)})
				return
			}
			findings, err := inexactness(c, record(t.Context(), c, newStore(t)))
			if err != nil {
				t.Fatal(err)
			}
			t.Skipf("inexact: %s\n%s", reason, findings)
		})
	}
}

// wrong says what is wrong with the declarations, in the order of their names.
func (o Options) wrong() (wrong []string) {
	known := make(map[string]bool)
	for _, c := range cases() {
		known[c.name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(o.Inexact)) {
		switch {
		case !known[name]:
			wrong = append(wrong, fmt.Sprintf("there is no case %q", name))
		case strings.TrimSpace(o.Inexact[name]) == "":
			wrong = append(wrong, fmt.Sprintf("%q has no reason", name))
		}
	}
	return wrong
}

// inexactness returns what a declared case has found, or an error where the declaration does not
// explain the outcome.
func inexactness(c testCase, r *outcome) (findings string, err error) {
	switch {
	case r.panicked:
		return "", fmt.Errorf("a declared case may fail, not panic: %s", strings.Join(r.failures, "\n"))
	case r.skipped != "":
		return "", fmt.Errorf("declared as inexact, but skipped anyway (%s): take it off Options.Inexact", r.skipped)
	case len(r.failures) == 0 && !strings.HasPrefix(c.name, "race/"):
		return "", fmt.Errorf("declared as inexact, but the store holds it: take it off Options.Inexact")
	case len(r.failures) == 0:
		return "it held this time", nil
	}
	return strings.Join(r.failures, "\n"), nil
}

// outcome stands in for a *testing.T and keeps what a case finds.
type outcome struct {
	ctx      context.Context
	mu       sync.Mutex
	failures []string
	skipped  string // why
	panicked bool
}

func (r *outcome) Helper()                  {}
func (r *outcome) Context() context.Context { return r.ctx }
func (r *outcome) FailNow()                 { runtime.Goexit() }
func (r *outcome) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}

func (r *outcome) Skipf(format string, args ...any) {
	r.skipped = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// record runs a case on a store and returns what it found.
func record(ctx context.Context, c testCase, store sessiontrack.Store) *outcome {
	r, done := &outcome{ctx: ctx}, make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if p := recover(); p != nil {
				r.Errorf("panic: %v", p)
				r.panicked = true
			}
		}()
		c.run(&check{tb: r, store: store})
	}()
	<-done
	return r
}
