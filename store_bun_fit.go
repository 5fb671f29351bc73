package sessiontrack

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// oldestServer is the first version of PostgreSQL that all statements are good for.
const oldestServer = 130_000

// errReadOnly refuses a server on which nobody could sign in or out.
var errReadOnly = errors.New("transactions are read only: the server is a standby, or default_transaction_read_only is on")

// bunSettings are the settings that decide whether the store can work at all.
type bunSettings struct {
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
const probeSQL = `SELECT statement_timestamp() AS now, decode('005c27ff', 'hex') AS secret_hash`

// rightsSQL returns the tables that search_path does not lead to, with an empty right,
// and the rights that are missing on the others. A right on some columns counts:
// whoever granted it so knows which.
const rightsSQL = `SELECT t.name, CASE WHEN o.oid IS NULL THEN '' ELSE string_agg(u.what, ', ') END AS what
FROM (VALUES
	('user_sessions', 'SELECT,INSERT,UPDATE,DELETE'), ('user_presence', 'SELECT,INSERT,UPDATE,DELETE'),
	('user_fences', 'SELECT,INSERT,UPDATE,DELETE'), ('session_leases', 'SELECT,INSERT,UPDATE'),
	('online_samples', 'SELECT,INSERT,DELETE'), ('session_minutes', 'SELECT,INSERT,DELETE'),
	('session_quarters', 'SELECT,INSERT,UPDATE,DELETE')
) AS t(name, rights), to_regclass(t.name) AS o(oid), unnest(string_to_array(t.rights, ',')) AS u(what)
WHERE o.oid IS NULL OR NOT CASE u.what WHEN 'DELETE' THEN has_table_privilege(o.oid, u.what) ELSE has_any_column_privilege(o.oid, u.what) END
GROUP BY t.name, o.oid ORDER BY t.name`

// Check implements [Checker]: it names what of the server, its settings or the role's
// rights keeps the store from doing its work, before the first sign-in would.
func (s *BunStore) Check(ctx context.Context) error {
	return failed("check the database", s.onConn(ctx, func(conn bun.Conn) error {
		var has bunSettings
		if err := conn.NewRaw(settingsSQL).Scan(ctx, &has); err != nil {
			return err
		}
		if err := has.check(); err != nil {
			return err
		}
		var probe bunRow
		if err := conn.NewRaw(probeSQL).Scan(ctx, &probe); err != nil {
			return fmt.Errorf("the driver cannot read times or bytes (DateStyle is %q, want ISO; bytea_output is %q, want hex): %w", has.Dates, has.Bytes, err)
		}
		if string(probe.SecretHash) != "\x00\\'\xff" || time.Since(probe.Now).Abs() > 10*365*24*time.Hour {
			return fmt.Errorf("the driver misreads times or bytes (DateStyle is %q, want ISO; bytea_output is %q, want hex)", has.Dates, has.Bytes)
		}
		return checkRights(ctx, conn, has.Role)
	}))
}

// check judges the settings. Bun writes values into the text of statements, by the
// rules of the standard's strings and in UTF-8.
func (b *bunSettings) check() error {
	switch {
	case b.Version < oldestServer:
		return fmt.Errorf("the server is PostgreSQL %d, want 13 or later", b.Version/10_000)
	case b.Server != "UTF8":
		return fmt.Errorf("the database's encoding is %s, want UTF8", b.Server)
	case b.Client != "UTF8" && b.Client != "UNICODE":
		return fmt.Errorf("client_encoding is %s, want UTF8", b.Client)
	case b.Strings != "on":
		return errors.New("standard_conforming_strings is off: a backslash in a value could end its quotes")
	case b.ReadOnly != "off":
		return errReadOnly
	}
	return nil
}

// checkRights names the tables and rights that are missing.
func checkRights(ctx context.Context, conn bun.Conn, role string) error {
	var rows []struct {
		Name string `bun:"name"`
		What string `bun:"what"`
	}
	if err := conn.NewRaw(rightsSQL).Scan(ctx, &rows); err != nil || len(rows) == 0 {
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
