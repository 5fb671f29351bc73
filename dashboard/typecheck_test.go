package dashboard

import (
	"os/exec"
	"strings"
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
	version, err := exec.Command(command[0], append(command[1:], "--version")...).CombinedOutput()
	if err != nil {
		t.Skipf("no TypeScript: %v\n%s", err, version)
	}
	require.True(t, strings.HasPrefix(string(version), "Version"), "%s", version)
	said, err := exec.Command(command[0], append(command[1:], "--project", "jsconfig.json")...).CombinedOutput()
	require.NoError(t, err, "%s", said)
}
