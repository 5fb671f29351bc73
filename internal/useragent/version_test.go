package useragent

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestVersions(t *testing.T) {
	t.Parallel()
	_, err := time.Parse(time.DateOnly, TablesDate)
	require.NoError(t, err)
	_, err = time.Parse("2006-01", NamesUntil)
	require.NoError(t, err)
	kinds, names := Tables()
	assert.Greater(t, kinds, 3000)
	assert.Greater(t, names, 15000)
	for version, want := range map[string]string{
		"v0.0.0-20260529044130-17c35e68e58c": "2026-05-29", "v1.2.4-0.20260529044130-17c35e68e58c": "2026-05-29",
		"v1.2.3": "", "v1.2.3-beta-1": "", "(devel)": "", "": "",
	} {
		assert.Equal(t, want, pseudoDate(version), version)
	}
}
