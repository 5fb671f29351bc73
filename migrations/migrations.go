// Package migrations holds the SQL that creates the library's tables: one folder per dialect, one
// numbered file per step, applied in the order of their names. (*sessiontrack.BunStore).Migrate
// applies them. A host with its own migration tool takes the files from [FS]. A released file never
// changes.
package migrations

import "embed"

// FS holds "postgres/0001_sessions.sql" and so on.
//
//go:embed postgres/*.sql
var FS embed.FS
