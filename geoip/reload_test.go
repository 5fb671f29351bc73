package geoip

import (
	"bytes"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// town returns the city of an address in Jakarta.
func town(t testing.TB, l *Locator) string {
	t.Helper()
	place, err := l.Locate(t.Context(), jakarta)
	require.NoError(t, err)
	return place.City
}

// overwrite changes a file in place, as simple tools do. It also sets the modification time,
// because two writes may get the same tick of the file system's clock.
func overwrite(t testing.TB, path string, data []byte, version int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = file.WriteAt(data, 0)
	require.NoError(t, err)
	require.NoError(t, file.Truncate(int64(len(data))))
	require.NoError(t, file.Close())
	setVersion(t, path, version)
}

func setVersion(t testing.TB, path string, version int64) {
	t.Helper()
	at := time.Unix(1_800_000_000+version, 0)
	require.NoError(t, os.Chtimes(path, at, at))
}

func TestReloadsWhenTheFileChanges(t *testing.T) {
	t.Parallel()
	older, newer := buildDatabase(t, "GeoLite2-City", cities("Jakarta")), buildDatabase(t, "GeoLite2-City",
		cities("Bandung"))
	changes := map[string]func(t *testing.T, path string, version int64){
		"overwritten in place": func(t *testing.T, path string, version int64) { overwrite(t, path, newer, version) },
		"replaced by a rename": func(t *testing.T, path string, _ int64) {
			require.NoError(t, os.WriteFile(path+".new", newer, 0o600))
			require.NoError(t, os.Rename(path+".new", path))
		},
		"removed and written again": func(t *testing.T, path string, version int64) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.WriteFile(path, newer, 0o600))
			setVersion(t, path, version)
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, older)
			setVersion(t, path, 0)
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				locator, err := Open(path, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				require.NoError(t, err)
				change(t, path, 1)
				assert.Equal(t, "Jakarta", town(t, locator), "not looked at yet")
				time.Sleep(time.Minute)
				assert.Equal(t, "Jakarta", town(t, locator), "noticed, and perhaps still being written")
				time.Sleep(settleTime - 1)
				assert.Equal(t, "Jakarta", town(t, locator))
				time.Sleep(time.Nanosecond)
				assert.Equal(t, "Bandung", town(t, locator), "the lookup that reads it uses it")
				assert.Equal(t, 1, strings.Count(log.String(), "database reloaded"))
				time.Sleep(time.Hour)
				assert.Equal(t, "Bandung", town(t, locator))
				assert.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
			})
		})
	}
}

func TestFileStillBeingWrittenIsNotRead(t *testing.T) {
	t.Parallel()
	older, newer := buildDatabase(t, "GeoLite2-City", cities("Jakarta")), buildDatabase(t, "GeoLite2-City",
		cities("Bandung"))
	path := writeFile(t, older)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		locator, err := Open(path, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		for step := range int64(20) {
			overwrite(t, path, newer[:len(newer)*int(step)/20], step)
			assert.Equal(t, "Jakarta", town(t, locator))
			time.Sleep(settleTime)
		}
		overwrite(t, path, newer, 20)
		assert.Equal(t, "Jakarta", town(t, locator))
		time.Sleep(settleTime)
		assert.Equal(t, "Bandung", town(t, locator))
		assert.NotContains(t, log.String(), "WARN")
	})
}

func TestBrokenFileKeepsTheOldPlaces(t *testing.T) {
	t.Parallel()
	good := buildDatabase(t, "GeoLite2-City", cities("Jakarta"))
	damaged := bytes.Clone(good)
	copy(damaged, bytes.Repeat([]byte{0xff}, 64))
	breaks := map[string]func(t *testing.T, path string){
		"cut off":        func(t *testing.T, path string) { overwrite(t, path, good[:len(good)/2], 1) },
		"empty":          func(t *testing.T, path string) { overwrite(t, path, nil, 1) },
		"damaged inside": func(t *testing.T, path string) { overwrite(t, path, damaged, 1) },
		"another kind": func(t *testing.T, path string) {
			overwrite(t, path, buildDatabase(t, "GeoLite2-ASN", cities("Jakarta")), 1)
		},
		"missing": func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) },
		"a directory": func(t *testing.T, path string) {
			require.NoError(t, os.Remove(path))
			require.NoError(t, os.Mkdir(path, 0o700))
		},
	}
	for name, breakFile := range breaks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := writeFile(t, good)
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				locator, err := Open(path, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
				require.NoError(t, err)
				breakFile(t, path)
				require.ErrorContains(t, locator.Reload(), "geoip: ")
				for range 10 {
					assert.Equal(t, "Jakarta", town(t, locator))
					time.Sleep(time.Minute)
				}
				assert.LessOrEqual(t, strings.Count(log.String(), "WARN"), 1, "once, not each minute: %s", log.String())

				// A later valid file is used without a call of Reload.
				require.NoError(t, os.RemoveAll(path))
				require.NoError(t, os.WriteFile(path, buildDatabase(t, "GeoLite2-City", cities("Bandung")), 0o600))
				assert.Equal(t, "Jakarta", town(t, locator))
				time.Sleep(time.Minute)
				assert.Equal(t, "Bandung", town(t, locator))
			})
		})
	}
}

func TestBrokenFileIsReportedOnce(t *testing.T) {
	t.Parallel()
	good := buildDatabase(t, "GeoLite2-City", cities("Jakarta"))
	path := writeFile(t, good)
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		locator, err := Open(path, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		warnings := func() int {
			for range 5 {
				time.Sleep(time.Minute)
				assert.Equal(t, "Jakarta", town(t, locator))
			}
			return strings.Count(log.String(), "level=WARN")
		}
		overwrite(t, path, good[:100], 1)
		assert.Equal(t, 1, warnings())
		require.NoError(t, os.Remove(path))
		assert.Equal(t, 2, warnings(), "another fault is another warning")
		require.NoError(t, os.WriteFile(path, good, 0o600))
		setVersion(t, path, 2)
		assert.Equal(t, 2, warnings())
		overwrite(t, path, good[:100], 3)
		assert.Equal(t, 3, warnings(), "after it was good, it is reported again")
	})
}

func TestFileThatComesBackIsReportedAgain(t *testing.T) {
	t.Parallel()
	path := writeFile(t, buildDatabase(t, "GeoLite2-City", cities("Jakarta")))
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		locator, err := Open(path, &Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		require.NoError(t, err)
		for range 2 {
			require.NoError(t, os.Rename(path, path+".away"))
			time.Sleep(time.Minute)
			assert.Equal(t, "Jakarta", town(t, locator))
			require.NoError(t, os.Rename(path+".away", path))
			time.Sleep(time.Minute)
			assert.Equal(t, "Jakarta", town(t, locator))
		}
		assert.Equal(t, 2, strings.Count(log.String(), "level=WARN"))
	})
}

// A broken file may have hundreds of megabytes, so it is read again only after a change.
func TestBrokenFileIsReadOnce(t *testing.T) {
	t.Parallel()
	older, newer := buildDatabase(t, "GeoLite2-City", cities("Jakarta")), buildDatabase(t, "GeoLite2-City",
		cities("Bandung"))
	require.Len(t, newer, len(older))
	path := writeFile(t, older)
	synctest.Test(t, func(t *testing.T) {
		locator, err := Open(path, &Options{Logger: slog.New(slog.DiscardHandler)})
		require.NoError(t, err)
		settle := func() string {
			for range 5 {
				time.Sleep(time.Minute)
				town(t, locator)
			}
			return town(t, locator)
		}
		overwrite(t, path, bytes.Repeat([]byte{0xff}, len(newer)), 1)
		assert.Equal(t, "Jakarta", settle())
		overwrite(t, path, newer, 1)
		assert.Equal(t, "Jakarta", settle(), "the file looks like the broken one")
		setVersion(t, path, 2)
		assert.Equal(t, "Bandung", settle())
	})
}

func TestNegativeIntervalReloadsOnDemandOnly(t *testing.T) {
	t.Parallel()
	path := writeFile(t, buildDatabase(t, "GeoLite2-City", cities("Jakarta")))
	synctest.Test(t, func(t *testing.T) {
		locator, err := Open(path, &Options{CheckInterval: -1})
		require.NoError(t, err)
		overwrite(t, path, buildDatabase(t, "GeoLite2-City", cities("Bandung")), 1)
		for range 3 {
			time.Sleep(24 * time.Hour)
			assert.Equal(t, "Jakarta", town(t, locator))
		}
		require.NoError(t, locator.Reload())
		assert.Equal(t, "Bandung", town(t, locator))
	})
}

// The file is overwritten in place, truncated and filled with garbage during lookups. Each lookup
// returns the town of one complete version. A mapped file would crash the process here.
func TestOverwritingTheFileDuringLookups(t *testing.T) {
	t.Parallel()
	versions := [][]byte{
		buildDatabase(t, "GeoLite2-City", cities("Jakarta")),
		buildDatabase(t, "GeoLite2-City", cities("Bandung")),
		[]byte(strings.Repeat("rubbish", 500)),
		nil,
	}
	path := writeFile(t, versions[0])
	locator, err := Open(path, &Options{CheckInterval: 1, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)

	var stop atomic.Bool
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for !stop.Load() {
				locator.nextCheck.Store(0) // makes each check due
				place, err := locator.Locate(t.Context(), jakarta)
				assert.NoError(t, err)
				assert.Contains(t, []string{"Jakarta", "Bandung"}, place.City)
			}
		})
	}
	for i := range 300 {
		data := versions[i%len(versions)]
		overwrite(t, path, data[:len(data)/2], int64(2*i))
		overwrite(t, path, data, int64(2*i+1))
		err := locator.Reload()
		assert.Equal(t, i%len(versions) < 2, err == nil, "version %d: %v", i%len(versions), err)
	}
	stop.Store(true)
	workers.Wait()

	overwrite(t, path, versions[1], 1_000)
	require.NoError(t, locator.Reload())
	assert.Equal(t, "Bandung", town(t, locator))
}
