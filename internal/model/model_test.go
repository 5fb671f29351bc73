package model

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestStateMachine runs random scripts and finds nothing. More of them:
// -rapid.checks=20000.
func TestStateMachine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := scripts().Draw(rt, "script")
		if problems := run(t, s, plant{}); len(problems) > 0 {
			rt.Logf("%s\n%v", strings.Join(problems, "\n"), s)
			invariant, _, _ := strings.Cut(problems[0], " ")
			rt.Fatal(invariant) // the same for each run of the script, so that rapid can shrink it
		}
	})
}
