package postgres

import (
	"context"

	"github.com/uptrace/bun/dialect/pgdialect"
)

// checkSearchPath refuses to create a second set of tables in the first schema of search_path if a
// later schema has a set. Statements would use the new, empty tables, and every user would be
// signed out.
func (m *migration) checkSearchPath(ctx context.Context) error {
	var schemas []string
	first := m.tables[0]
	err := m.tx.NewRaw(`SELECT n.nspname FROM unnest(current_schemas(false)) WITH ORDINALITY AS p(name, place)
JOIN pg_namespace AS n ON n.nspname = p.name JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = ?0
WHERE ?1::text[] <@ ARRAY(SELECT a.attname::text FROM pg_attribute AS a WHERE a.attrelid = c.oid
	AND NOT a.attisdropped)
ORDER BY p.place LIMIT 1`, first.Name, pgdialect.Array(first.Columns)).Scan(ctx, &schemas)
	if err != nil || len(schemas) == 0 || schemas[0] == m.target {
		return err
	}
	return faultf("search_path leads to schema %s first, which has no tables of this library, and then to schema %s, "+
		"which has: "+
		"name the one that is meant, BunOptions.Schema", m.target, schemas[0])
}

// foreignSQL returns the existing tables with these names, with the first column that they lack, or
// an empty text.
const foreignSQL = `SELECT t.name, coalesce((SELECT w.name
	FROM unnest(string_to_array(t.columns, ',')) WITH ORDINALITY AS w(name, place)
	WHERE NOT EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attname = w.name
		AND NOT a.attisdropped)
	ORDER BY w.place LIMIT 1), '') AS lacks
FROM unnest(?::text[], ?::text[]) WITH ORDINALITY AS t(name, columns, place)
JOIN pg_class AS c ON c.relname = t.name AND c.relnamespace = to_regnamespace(quote_ident(?)) ORDER BY t.place
	LIMIT 1`

// checkForeign refuses a schema that has a table with one of our names before a migration was
// applied: another application or another tool created it.
func (m *migration) checkForeign(ctx context.Context) error {
	names, columns := make([]string, len(m.tables)), make([]string, len(m.tables))
	for i, t := range m.tables {
		names[i] = t.Name
		for j, column := range t.Columns {
			if j > 0 {
				columns[i] += ","
			}
			columns[i] += column
		}
	}
	var rows []struct {
		Name  string `bun:"name"`
		Lacks string `bun:"lacks"`
	}
	err := m.tx.NewRaw(foreignSQL, pgdialect.Array(names), pgdialect.Array(columns), m.target).Scan(ctx, &rows)
	switch {
	case err != nil || len(rows) == 0:
		return err
	case rows[0].Lacks != "":
		return faultf("table %s of schema %s is not this library's: it has no column %s. "+twoWaysOut, rows[0].Name, m.target,
			rows[0].Lacks)
	}
	return faultf("table %s is in schema %s, and Migrate has not made it: if another tool applies the files of package "+
		"migrations, "+
		"leave the rest to it. If the table is not this library's: "+twoWaysOut, rows[0].Name, m.target)
}

const twoWaysOut = "rename it, with its indexes and constraints, or give the tables of this library a schema of " +
	"their own: BunOptions.Schema"

// takenStates are the SQLSTATEs for a name that exists already: of a table or index, of a
// constraint or trigger, of a function, of a type.
var takenStates = map[string]bool{"42P07": true, "42710": true, "42723": true}

// explainTaken adds a remedy to the error of a migration that met an existing name. A renamed table
// keeps the names of its indexes and constraints.
func (db DB) explainTaken(ctx context.Context, target string, err error) error {
	if !takenStates[sqlState(err)] {
		return err
	}
	var owners []string
	found := db.NewRaw("SELECT t.relname || ' has ' || string_agg(i.relname, ', ' ORDER BY i.relname) FROM pg_class AS i "+
		"JOIN pg_index AS x ON x.indexrelid = i.oid JOIN pg_class AS t ON t.oid = x.indrelid "+
		"WHERE i.relnamespace = to_regnamespace(quote_ident(?)) AND i.relname LIKE 'user\\_sessions%' GROUP BY t.relname "+
		"ORDER BY 1",
		target).Scan(ctx, &owners)
	if found != nil || len(owners) == 0 {
		return faultf("%w: a name is taken in schema %s by what is not this library's: %s", err, target, twoWaysOut)
	}
	return faultf("%w: a name is taken in schema %s by what is not this library's (%s): %s", err, target, joined(owners),
		twoWaysOut)
}
