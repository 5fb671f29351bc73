package postgres

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestReadMigrationsWantsConsecutiveNumbers(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		files []string
		want  string
	}{
		"in order":  {[]string{"0001_a.sql", "0002_b.sql"}, ""},
		"gap":       {[]string{"0001_a.sql", "0003_b.sql"}, "want number 0002"},
		"twice":     {[]string{"0001_a.sql", "0001_b.sql"}, "want number 0002"},
		"no number": {[]string{"a.sql"}, "want number 0001"},
	} {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{}
			for _, file := range test.files {
				files["pg/"+file] = &fstest.MapFile{Data: []byte("SELECT 1")}
			}
			steps, err := readMigrations(files, "pg")
			if test.want != "" {
				require.ErrorContains(t, err, test.want)
				return
			}
			require.NoError(t, err)
			assert.Len(t, steps, len(test.files))
		})
	}
}
