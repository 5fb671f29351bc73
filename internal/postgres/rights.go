package postgres

import (
	"context"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// rightsSQL returns the missing tables, with an empty right, and the missing rights on the other
// tables. A right on some columns counts as a right: whoever granted it chose the columns.
const rightsSQL = `SELECT t.name, CASE WHEN o.oid IS NULL THEN '' ELSE string_agg(u.what, ', ') END AS what
FROM unnest(?::text[], ?::text[]) AS t(name, rights), to_regclass('?(schema)' || t.name) AS o(oid),
	unnest(string_to_array(t.rights, ',')) AS u(what)
WHERE o.oid IS NULL OR NOT CASE u.what WHEN 'DELETE' THEN has_table_privilege(o.oid, u.what)
	ELSE has_any_column_privilege(o.oid, u.what) END
GROUP BY t.name, o.oid ORDER BY t.name`

// namesAndRights returns the tables as two arrays.
func namesAndRights(tables []Table) (names, rights any) {
	n, r := make([]string, len(tables)), make([]string, len(tables))
	for i, t := range tables {
		n[i], r[i] = t.Name, t.Rights
	}
	return pgdialect.Array(n), pgdialect.Array(r)
}

// checkRights names the missing tables and rights.
func checkRights(ctx context.Context, conn bun.Conn, role string, tables []Table) error {
	var rows []struct {
		Name string `bun:"name"`
		What string `bun:"what"`
	}
	names, rights := namesAndRights(tables)
	if err := conn.NewRaw(rightsSQL, names, rights).Scan(ctx, &rows); err != nil || len(rows) == 0 {
		return err
	}
	missing := make([]string, len(rows))
	for i, row := range rows {
		missing[i] = "role " + role + " lacks " + row.What + " on " + row.Name
		if row.What == "" {
			missing[i] = "no table " + row.Name + " in the search_path of role " + role + ": run Migrate"
		}
	}
	return faultf("%s", joined(missing))
}

// CheckFunction returns an error where a function is missing or the role may not call it.
func (db DB) CheckFunction(ctx context.Context, name string) error {
	var may []bool
	err := db.NewRaw("SELECT has_function_privilege(p.oid, 'EXECUTE') FROM to_regproc('?(schema)' || ?) AS p(oid) WHERE "+
		"p.oid IS NOT NULL", name).
		Scan(ctx, &may)
	switch {
	case err != nil:
		return err
	case len(may) == 0:
		return faultf("no function %s: run Migrate", name)
	case !may[0]:
		return faultf("the role lacks EXECUTE on function %s", name)
	}
	return nil
}

// checkPlace refuses tables in several schemas: some belong to another application or an earlier
// installation.
func checkPlace(ctx context.Context, conn bun.Conn, tables []Table) error {
	var schemas []string
	names, _ := namesAndRights(tables)
	err := conn.NewRaw("SELECT n.nspname || ' has ' || string_agg(t.name, ', ' ORDER BY t.name) FROM unnest(?::text[]) "+
		"AS t(name) "+
		"JOIN pg_class AS c ON c.oid = to_regclass('?(schema)' || t.name) JOIN pg_namespace AS n ON n.oid = c.relnamespace "+
		"GROUP BY n.nspname ORDER BY n.nspname", names).Scan(ctx, &schemas)
	if err != nil || len(schemas) < 2 {
		return err
	}
	return faultf("the tables lie in several schemas: %s. Name the right one: BunOptions.Schema", joined(schemas))
}

// hiddenSQL returns the tables whose rows row level security hides from the role, with the commands
// that no policy allows.
const hiddenSQL = `SELECT t.name, string_agg(u.what, ', ') AS what
FROM unnest(?::text[], ?::text[]) AS t(name, rights), to_regclass('?(schema)' || t.name) AS o(oid),
	unnest(string_to_array(t.rights, ',')) AS u(what)
WHERE row_security_active(o.oid) AND NOT EXISTS (
	SELECT FROM pg_policy AS p WHERE p.polrelid = o.oid AND p.polpermissive
		AND p.polcmd IN ('*', CASE u.what WHEN 'SELECT' THEN 'r' WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w' ELSE 'd' END)
		AND EXISTS (SELECT FROM unnest(p.polroles) AS r(oid) WHERE r.oid = 0 OR pg_has_role(r.oid, 'USAGE')))
GROUP BY t.name ORDER BY t.name`

// checkVisible names the tables that row level security hides from the role. Live sessions would
// seem not to exist.
func checkVisible(ctx context.Context, conn bun.IDB, role string, tables []Table) error {
	var rows []struct {
		Name string `bun:"name"`
		What string `bun:"what"`
	}
	names, rights := namesAndRights(tables)
	if err := conn.NewRaw(hiddenSQL, names, rights).Scan(ctx, &rows); err != nil || len(rows) == 0 {
		return err
	}
	hidden := make([]string, len(rows))
	for i, row := range rows {
		hidden[i] = "row level security of " + row.Name + " has no policy for " + row.What + " by role " + role
	}
	return faultf("%s: make the role their owner, give it BYPASSRLS, or a policy USING (true)", joined(hidden))
}

// CheckVisible returns an error if row level security hides the rows of a table.
func (db DB) CheckVisible(ctx context.Context, table Table) error {
	return checkVisible(ctx, db.DB, "current_user", []Table{table})
}

// writersSQL returns the roles that may write a table, except superusers, the current role, the
// table's owner, and members of these.
const writersSQL = `SELECT r.rolname || ' may write ' || string_agg(t.name, ', ' ORDER BY t.name)
FROM unnest(?::text[]) AS t(name) JOIN pg_class AS c ON c.oid = to_regclass('?(schema)' || t.name), pg_roles AS r
WHERE NOT r.rolsuper AND r.rolname NOT LIKE 'pg\_%'
	AND NOT pg_has_role(r.oid, c.relowner, 'MEMBER') AND NOT pg_has_role(r.oid, current_user, 'MEMBER')
	AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
	AND (has_any_column_privilege(r.oid, c.oid, 'INSERT, UPDATE') OR has_table_privilege(r.oid, c.oid, 'DELETE, TRUNCATE'))
GROUP BY r.rolname ORDER BY r.rolname LIMIT 10`

// OtherWriters returns the roles besides the current one and the owner that may write the tables,
// each with its tables: "anon may write user_sessions".
func (db DB) OtherWriters(ctx context.Context, tables []Table) (writers []string, err error) {
	names, _ := namesAndRights(tables)
	err = db.Raw(ctx, &writers, writersSQL, names)
	return writers, err
}

// joined joins several findings to one sentence.
func joined(findings []string) (text string) {
	for i, finding := range findings {
		if i > 0 {
			text += "; "
		}
		text += finding
	}
	return text
}
