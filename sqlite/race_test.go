//go:build race

package sqlite_test

// The suites of the root run with the race detector where this module's tests do. The drivers are C
// translated to Go: it would make them many times slower, and has nothing to find in them.
func init() {
	raceFlags = []string{"-race", "-gcflags=modernc.org/...=-race=false", "-gcflags=github.com/ncruces/...=-race=false"}
}
