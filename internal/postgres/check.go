package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// oldestServer is the first version of PostgreSQL that all statements are good for.
const oldestServer = 130_000

// Table names a table and the rights that it takes to work with it: "SELECT,INSERT".
type Table struct{ Name, Rights string }

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

// rightsSQL returns the tables that search_path does not lead to, with an empty right,
// and the rights that are missing on the others. A right on some columns counts: whoever
// granted it so knows which.
const rightsSQL = `SELECT t.name, CASE WHEN o.oid IS NULL THEN '' ELSE string_agg(u.what, ', ') END AS what
FROM unnest(?::text[], ?::text[]) AS t(name, rights), to_regclass(t.name) AS o(oid),
	unnest(string_to_array(t.rights, ',')) AS u(what)
WHERE o.oid IS NULL OR NOT CASE u.what WHEN 'DELETE' THEN has_table_privilege(o.oid, u.what)
	ELSE has_any_column_privilege(o.oid, u.what) END
GROUP BY t.name, o.oid ORDER BY t.name`

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
		return checkRights(ctx, conn, has.Role, tables)
	})
}

// check judges the settings. Bun writes values into the text of statements, by the rules
// of the standard's strings and in UTF-8.
func (s *settings) check() error {
	switch {
	case s.Version < oldestServer:
		return fmt.Errorf("the server is PostgreSQL %d, want 13 or later", s.Version/10_000)
	case s.Server != "UTF8":
		return fmt.Errorf("the database's encoding is %s, want UTF8", s.Server)
	case s.Client != "UTF8" && s.Client != "UNICODE":
		return fmt.Errorf("client_encoding is %s, want UTF8", s.Client)
	case s.Strings != "on":
		return errors.New("standard_conforming_strings is off: a backslash in a value could end its quotes")
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
		return fmt.Errorf("the driver misreads times or bytes "+
			"(DateStyle is %q, want ISO; bytea_output is %q, want hex): %w", s.Dates, s.Bytes, err)
	}
	return nil
}

// checkRights names the tables and rights that are missing.
func checkRights(ctx context.Context, conn bun.Conn, role string, tables []Table) error {
	names, rights := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		names[i], rights[i] = t.Name, t.Rights
	}
	var rows []struct {
		Name string `bun:"name"`
		What string `bun:"what"`
	}
	err := conn.NewRaw(rightsSQL, pgdialect.Array(names), pgdialect.Array(rights)).Scan(ctx, &rows)
	if err != nil || len(rows) == 0 {
		return err
	}
	missing := ""
	for _, row := range rows {
		if missing != "" {
			missing += "; "
		}
		if row.What == "" {
			missing += "no table " + row.Name + " in the search_path of role " + role + ": run Migrate"
		} else {
			missing += "role " + role + " lacks " + row.What + " on " + row.Name
		}
	}
	return errors.New(missing)
}
