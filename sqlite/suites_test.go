package sqlite_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// raceFlags are what this binary was built with, where it was built with the race detector.
var raceFlags []string

// httpSuite names the root's tests of the middleware and of the two families of handlers that run
// on each store.
const httpSuite = "^Test(AdminIsReadFromTheStore|AnswersEqualTheGoldenFiles|CarriersMatrix|CleanupCounts|" +
	"CursorsNameNobodyHidden|ForceLogoutReachesUnseenTokens|HostileBytesOnTheWire|HostilePathIDs|HTTPContract|" +
	"MiddlewareAnswersOnBothStores|NothingThatIsShownAuthenticates|PagesMissNobody|ParametersOutOfBoundsAreRefused|" +
	"PrivacyModesLeaveNothing|StreamEndsEverywhere|StreamOfAnAdministrator|StreamOfAUser|UnknownIDsAreNeverAdopted|" +
	"VisibleNarrowsLists|WhatIsStoredAuthenticatesNobody)$"

// TestSuitesOfTheRoot runs suites of the root module over this store: the HTTP API, the state
// machine, and the histories that must be linearizable. The root must not require a SQLite driver.
// So each suite runs in the workspace, with a file of testdata/over laid over its package that
// names this store.
func TestSuitesOfTheRoot(t *testing.T) {
	t.Parallel()
	for _, suite := range []struct {
		name, folder, over string
		args               []string
	}{
		{"HTTP", ".", "root_test.go", []string{"-run", httpSuite}},
		{"state machine", "internal/model", "model_test.go", []string{"-run", "^TestStateMachine$", "-rapid.checks=30"}},
		{"histories", "internal/histories", "histories_test.go", []string{"-run", "^TestLinear$"}},
	} {
		t.Run(suite.name, func(t *testing.T) {
			passed, failures := runOver(t, suite.folder, suite.over, suite.args...)
			for _, failure := range failures {
				t.Error(failure)
			}
			assert.NotEmpty(t, passed, "no test of the suite ran over this store")
			t.Logf("%d tests passed", len(passed))
		})
	}
}

// runOver runs tests of a package of the root with a file laid over it. It returns the tests that
// passed over this store, and what the others printed.
func runOver(t *testing.T, folder, over string, args ...string) (passed, failures []string) {
	t.Helper()
	root, err := filepath.Abs("..")
	require.NoError(t, err)
	text, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(root, folder, "over_sqlite_test.go"): filepath.Join(root, "sqlite", "testdata", "over", over),
	}})
	require.NoError(t, err)
	overlay := filepath.Join(t.TempDir(), "overlay.json")
	require.NoError(t, os.WriteFile(overlay, text, 0o600))

	flags := append([]string{"test", "-json", "-count=1", "-overlay", overlay}, raceFlags...)
	cmd := exec.CommandContext(t.Context(), "go", append(append(flags, "."), args...)...)
	cmd.Dir = filepath.Join(root, folder)
	cmd.Env = append(os.Environ(), "GOWORK="+filepath.Join(root, "go.work"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	passed, failures = outcomes(t, output)
	if err != nil && len(failures) == 0 {
		failures = append(failures, err.Error()+": "+stderr.String()+string(output))
	}
	return passed, failures
}

// outcomes reads what go test -json prints.
func outcomes(t *testing.T, events []byte) (passed, failures []string) {
	t.Helper()
	printed := make(map[string]string)
	for line := range bytes.Lines(events) {
		var event struct{ Action, Test, Output string }
		require.NoError(t, json.Unmarshal(line, &event), "%s", line)
		switch event.Action {
		case "output":
			printed[event.Test] += event.Output
		case "fail":
			failures = append(failures, printed[event.Test])
		case "pass":
			if strings.Contains(event.Test+"/", "/sqlite/") {
				passed = append(passed, event.Test)
			}
		}
	}
	return passed, failures
}
