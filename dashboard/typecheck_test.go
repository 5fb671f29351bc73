package dashboard

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// The modules are typed by JSDoc. The compiler is the machine's own tsc, or what npm
// brings.
func TestModulesAreTyped(t *testing.T) {
	t.Parallel()
	command := []string{"tsc"}
	if _, err := exec.LookPath("tsc"); err != nil {
		command = []string{"npm", "exec", "--yes", "--package=typescript@5.9.3", "--", "tsc"}
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		t.Skip("neither tsc nor npm is here")
	}
	said, err := exec.Command(command[0], append(command[1:], "--project", "jsconfig.json")...).CombinedOutput()
	require.NotContains(t, string(said), "error TS")
	if err != nil {
		t.Skipf("no TypeScript: %v\n%s", err, said)
	}
}
