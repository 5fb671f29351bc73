// Package postgres is what a store needs of PostgreSQL whatever it keeps there:
// connections that lead to the primary, short transactions, a check of the server and of
// the role's rights, locks and leases by name, and migrations.
//
// It works over the host's pool, and so sets nothing that outlasts a transaction: a pooler
// may hand the connection to somebody else after each.
package postgres

import (
	"context"
	"strconv"
	"time"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/schema"
)

// DB is the host's database. Statements write ?(schema) in front of the name of a table.
type DB struct {
	*bun.DB
	// Slack extends the limits of transactions. Only tests set it, for machines where a
	// process can stand still for a second.
	Slack time.Duration

	schema string // of the tables; empty: the one that search_path leads to
}

// New returns a DB whose tables lie in a schema, or where search_path leads to if schema
// is empty.
func New(db *bun.DB, schema string) DB {
	return DB{DB: db.WithNamedArg("schema", qualifier(schema)), schema: schema}
}

// qualifier is a schema in front of a table's name: an identifier and a dot, or nothing.
type qualifier string

// AppendQuery implements bun's appender of arguments.
func (q qualifier) AppendQuery(gen schema.QueryGen, b []byte) ([]byte, error) {
	if q == "" {
		return b, nil
	}
	return append(gen.AppendIdent(b, string(q)), '.'), nil
}

// Now asks for the server's time.
func (db DB) Now(ctx context.Context) (now time.Time, err error) {
	err = db.Raw(ctx, &now, "SELECT clock_timestamp()")
	return now.UTC(), err
}

// Micros is d in whole microseconds, rounded up so that a positive bound never becomes
// zero: a number that SQL multiplies with an interval of one microsecond.
func Micros(d time.Duration) int64 {
	if d%time.Microsecond > 0 {
		return d.Microseconds() + 1
	}
	return d.Microseconds()
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
