// Package migrations holds the SQL that makes the library's tables: one folder
// per dialect, one numbered file per step, applied in the order of their names.
// (*sessiontrack.BunStore).Migrate applies them; hosts with a migration tool of
// their own take the files from [FS]. A file that has been released never
// changes.
package migrations

import "embed"

// FS holds "postgres/0001_sessions.sql" and so on.
//
//go:embed postgres/*.sql
var FS embed.FS
