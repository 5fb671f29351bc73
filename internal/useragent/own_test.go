package useragent

import (
	"bufio"
	"encoding/json"
	"net/http"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// ownRow is a line of testdata/agents.jsonl: agents that we wrote by hand, in the forms
// that browsers, devices and programs are known to send.
type ownRow struct {
	Kind  string            `json:"kind"`
	Type  string            `json:"type"`
	Label string            `json:"label"`
	UA    string            `json:"ua"`
	Hints map[string]string `json:"client_hints"`
}

func ownRows(t *testing.T) (rows []ownRow) {
	t.Helper()
	f, err := os.Open("testdata/agents.jsonl")
	require.NoError(t, err)
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var row ownRow
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		rows = append(rows, row)
	}
	return rows
}

// TestOwnAgents: every agent of our own set has its type, and its label where one is
// written beside it.
func TestOwnAgents(t *testing.T) {
	t.Parallel()
	rows := ownRows(t)
	kinds := map[string]int{}
	labels := 0
	for _, row := range rows {
		kinds[row.Kind]++
		h := http.Header{}
		for name, value := range row.Hints {
			h.Set(name, value)
		}
		agent, hints := Clean(row.UA), Hints(h)
		got := embedded.Describe(agent, hints)
		assert.Equal(t, row.Type, got.Type, "%s: %s", row.Kind, row.UA)
		assert.Equal(t, row.Type, Type(agent, hints), "%s: %s", row.Kind, row.UA)
		if row.Label != "" {
			labels++
			assert.Equal(t, row.Label, got.Label(), "%s: %s", row.Kind, row.UA)
		}
	}
	assert.GreaterOrEqual(t, len(rows), 300)
	assert.GreaterOrEqual(t, labels, 200)
	for _, kind := range []string{
		"computers", "phones", "tablets", "robots", "one word", "host's application", "iPads that say Macintosh", "podcast robots",
		"players", "televisions by inches", "televisions and boxes", "tablets that say Mobile", "watches", "cars", "OpenHarmony",
		"market names", "labels",
	} {
		assert.GreaterOrEqual(t, kinds[kind], 10, kind)
	}
}
