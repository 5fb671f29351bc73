package workflows_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

type workflow struct {
	Name        string
	Permissions map[string]string
	Jobs        map[string]struct {
		Timeout  int `yaml:"timeout-minutes"`
		Strategy struct{ Matrix map[string][]string }
		Steps    []struct{ Uses, Run string }
	}
}

func text(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	require.NoError(t, err)
	return string(text)
}

var (
	target  = regexp.MustCompile(`(?m)^([a-z-]+):`)
	command = regexp.MustCompile(`\bmake ((?:[a-z-]+ ?)+)`)
	tool    = regexp.MustCompile(`-C tools \./(\w+)`)
	pinned  = regexp.MustCompile(`^[\w-]+/[\w-]+@v\d+$`)
)

// TestWorkflowsCallWhatThereIs: each target of make, each tool and each package that a workflow
// names is in the tree. Each job has an end, each workflow says its rights, each action its version.
func TestWorkflowsCallWhatThereIs(t *testing.T) {
	t.Parallel()
	targets := map[string]bool{}
	for _, match := range target.FindAllStringSubmatch(text(t, "Makefile"), -1) {
		targets[match[1]] = true
	}
	files, err := filepath.Glob(filepath.Join("..", "..", ".github", "workflows", "*.yml"))
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, file := range files {
		var w workflow
		require.NoError(t, yaml.Unmarshal([]byte(text(t, ".github/workflows/"+filepath.Base(file))), &w), file)
		assert.NotEmpty(t, w.Permissions, file)
		for name, job := range w.Jobs {
			assert.NotZero(t, job.Timeout, "%s: %s", file, name)
			for _, step := range job.Steps {
				if step.Uses != "" {
					assert.Regexp(t, pinned, step.Uses)
				}
				checkCommands(t, targets, step.Run)
			}
			for _, word := range job.Strategy.Matrix["target"] {
				assert.True(t, targets[word], "no target %s", word)
			}
		}
	}
}

func checkCommands(t *testing.T, targets map[string]bool, run string) {
	t.Helper()
	for _, match := range command.FindAllStringSubmatch(run, -1) {
		for word := range strings.FieldsSeq(match[1]) {
			assert.True(t, targets[word] || word == "the", "no target %s", word)
		}
	}
	for _, match := range tool.FindAllStringSubmatch(run, -1) {
		assert.DirExists(t, filepath.Join("..", match[1]))
	}
	for folder := range strings.FieldsSeq(run) {
		if strings.HasPrefix(folder, "./") && !strings.Contains(run, "-C tools") {
			assert.DirExists(t, filepath.Join("..", "..", strings.TrimSuffix(folder, "...")))
		}
	}
}

// TestPostgreSQLVersions: the workflow tests every version that the documentation promises.
func TestPostgreSQLVersions(t *testing.T) {
	t.Parallel()
	var w workflow
	require.NoError(t, yaml.Unmarshal([]byte(text(t, ".github/workflows/test.yml")), &w))
	assert.Equal(t, []string{"13", "14", "15", "16", "17"}, w.Jobs["postgres"].Strategy.Matrix["version"])
}
