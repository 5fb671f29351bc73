package prometheus_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/sessiontrack/sessiontrack"
)

// exposed are the names that expressions may use, with their help: those of the metrics, and of
// the parts of histograms.
func exposed(t *testing.T) map[string]string {
	t.Helper()
	names := map[string]string{}
	synctest.Test(t, func(t *testing.T) {
		r := newReplica(t, sessiontrack.NewMemoryStore(), sessiontrack.Options{})
		live(t, r, 3)
		for name, family := range r.families(t) {
			names[name] = family.GetHelp()
			if family.Metric[0].Histogram != nil {
				names[name+"_bucket"], names[name+"_sum"], names[name+"_count"] = "", "", ""
			}
		}
	})
	return names
}

var metricName = regexp.MustCompile(`sessiontrack_\w+`)

// checkExpressions holds expressions to what is exposed, and returns the names that they use.
func checkExpressions(t *testing.T, names map[string]string, expressions []string) (used []string) {
	t.Helper()
	require.NotEmpty(t, expressions)
	for _, expression := range expressions {
		found := metricName.FindAllString(expression, -1)
		require.NotEmpty(t, found, expression)
		for _, name := range found {
			assert.Contains(t, names, name, expression)
		}
		assert.Equal(t, strings.Count(expression, "("), strings.Count(expression, ")"), expression)
		used = append(used, found...)
	}
	return used
}

// TestDashboardShowsWhatIsExposed loads grafana.json: each expression names a metric that there is,
// and each metric is shown. Panels do not lie over one another.
func TestDashboardShowsWhatIsExposed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("grafana.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			ID                       int
			Type, Title, Description string
			GridPos                  struct{ X, Y, W, H int }
			Targets                  []struct{ Expr, LegendFormat string }
		}
		Templating struct{ List []struct{ Name, Query any } }
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	var expressions []string
	taken := map[string]string{}
	for _, p := range dashboard.Panels {
		if p.Type != "row" {
			assert.NotEmpty(t, p.Targets, p.Title)
			assert.NotEmpty(t, p.Description, p.Title)
		}
		for _, target := range p.Targets {
			expressions = append(expressions, target.Expr)
			assert.NotEmpty(t, target.LegendFormat, p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				place := fmt.Sprint(p.GridPos.X+x, " ", p.GridPos.Y+y)
				assert.Empty(t, taken[place], p.Title)
				taken[place] = p.Title
			}
		}
	}
	names := exposed(t)
	used := checkExpressions(t, names, expressions)
	for name, help := range names {
		shown := slices.ContainsFunc(used, func(u string) bool { return strings.HasPrefix(u, name) })
		plain := help == "" || strings.HasPrefix(help, "The counter ") // without a name of its own here
		assert.True(t, shown || plain || slices.Contains(notShown, name), "nothing shows %s", name)
	}
}

// notShown are metrics for questions that come up seldom.
var notShown = []string{"sessiontrack_sample_timestamp_seconds", "sessiontrack_sessions_purged_total"}

// TestAlertsNameWhatIsExposed loads alerts.yml: each rule has what an operator needs, and its
// expression names metrics that there are. Where promtool is at hand it reads the file, too.
func TestAlertsNameWhatIsExposed(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("alerts.yml")
	require.NoError(t, err)
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(text, &rules))
	var expressions []string
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			expressions = append(expressions, rule.Expr)
			assert.Contains(t, []string{"critical", "warning"}, rule.Labels["severity"], rule.Alert)
			assert.NotEmpty(t, rule.Annotations["summary"], rule.Alert)
			assert.NotEmpty(t, rule.Annotations["description"], rule.Alert)
		}
	}
	checkExpressions(t, exposed(t), expressions)
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool: the syntax of the expressions is not checked")
	}
	out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", "alerts.yml").CombinedOutput()
	require.NoError(t, err, "%s", out)
}
