package model

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// stores are what the scripts run over. A module whose requirements the root does not take adds its
// store by a file of its own.
var stores = map[string]func() backing{"memory": memory}

// TestStateMachine runs random scripts, which must find no violation. -rapid.checks=20000 runs more
// of them.
func TestStateMachine(t *testing.T) {
	for name, store := range stores {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				s := scripts().Draw(rt, "script")
				if problems := run(t, s, plant{store: store}); len(problems) > 0 {
					rt.Logf("%s\n%v", strings.Join(problems, "\n"), s)
					invariant, _, _ := strings.Cut(problems[0], " ")
					rt.Fatal(invariant) // rapid shrinks a script only if each run fails with the same text
				}
			})
		})
	}
}
