package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/uptrace/bun"
)

// oldestServer is the first version of PostgreSQL that all statements are good for.
const oldestServer = 130_000

// Table is a table that is worked with.
type Table struct {
	Name   string
	Rights string // "SELECT,INSERT": what a role needs
	// Columns tell the table from another one of the same name; none: the name does.
	Columns []string
}

// settings decide whether statements of ours can work at all.
type settings struct {
	Version  int    `bun:"version"`
	Role     string `bun:"role"`
	Server   string `bun:"server"`
	Client   string `bun:"client"`
	Strings  string `bun:"strings"`
	ReadOnly string `bun:"read_only"`
	Dates    string `bun:"dates"`
	Bytes    string `bun:"bytes"`
}

const settingsSQL = `SELECT current_setting('server_version_num')::int AS version, current_user::text AS role,
	current_setting('server_encoding') AS server, current_setting('client_encoding') AS client,
	current_setting('standard_conforming_strings') AS strings, current_setting('transaction_read_only') AS read_only,
	current_setting('DateStyle') AS dates, current_setting('bytea_output') AS bytes`

// probeSQL returns what every driver must be able to read.
const probeSQL = `SELECT statement_timestamp() AS now, decode('005c27ff', 'hex') AS bytes`

// Check returns an error that names what of the server, its settings or the role's rights
// on the tables keeps statements from doing their work.
func (db DB) Check(ctx context.Context, tables []Table) error {
	return db.OnConn(ctx, func(conn bun.Conn) error {
		var has settings
		if err := conn.NewRaw(settingsSQL).Scan(ctx, &has); err != nil {
			return err
		}
		if err := has.check(); err != nil {
			return err
		}
		if err := has.probe(ctx, conn); err != nil {
			return err
		}
		if err := checkRights(ctx, conn, has.Role, tables); err != nil {
			return err
		}
		if err := checkPlace(ctx, conn, tables); err != nil {
			return err
		}
		return checkVisible(ctx, conn, has.Role, tables)
	})
}

// check judges the settings. Bun writes values into the text of statements, by the rules
// of the standard's strings and in UTF-8.
func (s *settings) check() error {
	switch {
	case s.Version < oldestServer:
		return faultf("the server is PostgreSQL %d, want 13 or later", s.Version/10_000)
	case s.Server != "UTF8":
		return faultf("the database's encoding is %s, want UTF8", s.Server)
	case s.Client != "UTF8" && s.Client != "UNICODE":
		return faultf("client_encoding is %s, want UTF8", s.Client)
	case s.Strings != "on":
		return faultf("standard_conforming_strings is off: a backslash in a value could end its quotes")
	case s.ReadOnly != "off":
		return errReadOnly
	}
	return nil
}

// probe reads a time and bytes, which drivers that read text can only do in some formats.
func (s *settings) probe(ctx context.Context, conn bun.Conn) error {
	var row struct {
		Now   time.Time `bun:"now"`
		Bytes []byte    `bun:"bytes"`
	}
	err := conn.NewRaw(probeSQL).Scan(ctx, &row)
	if err == nil && (string(row.Bytes) != "\x00\\'\xff" || time.Since(row.Now).Abs() > 10*365*24*time.Hour) {
		err = errors.New("they come back changed")
	}
	if err != nil {
		return faultf("the driver misreads times or bytes "+
			"(DateStyle is %q, want ISO; bytea_output is %q, want hex): %w", s.Dates, s.Bytes, err)
	}
	return nil
}
