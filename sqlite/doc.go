// Package sqlite keeps sessions in one SQLite file: for applications of one binary, and
// for a few processes on one machine.
//
//	store, err := sqlite.Open("sessions.db", nil)
//	if err != nil { … }
//	defer store.Close()
//	if err := store.Migrate(ctx); err != nil { … }
//	tracker, err := sessiontrack.New(store, nil)
//
// A [Store] has every optional capability of a [sessiontrack.Store]. What it has
// acknowledged is on disk: the journal is a write-ahead log and synchronous is FULL.
//
// [Open] uses the driver github.com/ncruces/go-sqlite3, which needs no cgo. [New] takes
// a *sql.DB of any SQLite driver that knows SQLite 3.43 or later.
//
// Several processes may share one file on one machine: each is a replica, and sees what
// the others have ended within [sessiontrack.Options.FeedInterval]. Never put the file
// on a network file system: SQLite's locks do not hold there.
package sqlite
