package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/sessiontrack/sessiontrack"
)

const listSynopsis = `-dsn DSN [FILTER] [-sort login|activity] [-within 15m] [-limit 100] [-json]

Lists the sessions that the filter selects, without one all active ones. Active sessions
come by their user's latest activity; with -user or another -state by sign-in, latest
first.
`

// pageSize is the largest page of the library.
const pageSize = 100

// listing is one call of list.
type listing struct {
	query sessiontrack.Query
	idle  time.Duration
	limit int
	json  bool
}

func list(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("list", listSynopsis, stderr)
	dsn := dsnFlag(flags)
	var l listing
	filter := filterFlags(flags)
	order := flags.String("sort", "", "the `order`: login or activity")
	flags.DurationVar(&l.query.Within, "within", 0, "sessions of users who were active within this time; 0: at any time")
	flags.DurationVar(&l.idle, "idle", 24*time.Hour,
		"the application's IdleTimeout: a session without activity for this long is not active; 0: it has none")
	flags.IntVar(&l.limit, "limit", pageSize, "show at most this many; 0: all")
	flags.BoolVar(&l.json, "json", false, "print a JSON array")
	if err := parse(flags, args); err != nil {
		return err
	}
	if err := l.fill(filter, *order); err != nil {
		return misused(flags, stderr, "%v", err)
	}
	options := sessiontrack.Options{IdleTimeout: -1}
	if l.idle != 0 {
		options.IdleTimeout = l.idle
	}
	return withTracker(ctx, flags, *dsn, options, stderr, func(t *sessiontrack.Tracker) error {
		return l.print(ctx, t, stdout)
	})
}

func (l *listing) fill(filter func() (sessiontrack.Filter, error), order string) (err error) {
	switch {
	case l.query.Within < 0:
		return fmt.Errorf("-within is %v: want 0 or more", l.query.Within)
	case l.idle != 0 && l.idle < shortestIdle:
		return fmt.Errorf("-idle is %v: want at least %v, or 0", l.idle, shortestIdle)
	case l.limit < 0:
		return fmt.Errorf("-limit is %d: want 0 or more", l.limit)
	}
	if l.query.Filter, err = filter(); err != nil {
		return err
	}
	l.query.Sort = sessiontrack.Sort(order)
	if order == "" && (l.query.Filter.State != "" || len(l.query.Filter.Users) > 0) {
		l.query.Sort = sessiontrack.SortLogin
	}
	check := l.query
	check.Limit = 1
	return check.Check()
}

// each calls f for each session, page by page.
func (l *listing) each(ctx context.Context, t *sessiontrack.Tracker, f func(sessiontrack.Session) error) error {
	query, left := l.query, l.limit
	for {
		query.Limit = pageSize
		if l.limit > 0 {
			query.Limit = min(left, pageSize)
		}
		page, err := t.List(ctx, query)
		if err != nil {
			return err
		}
		for _, session := range page.Sessions {
			if err := f(session); err != nil {
				return err
			}
		}
		query.After, left = page.Next, left-len(page.Sessions)
		if query.After.IsZero() || l.limit > 0 && left <= 0 {
			return nil
		}
	}
}

// writer prints sessions one by one.
type writer interface {
	write(sessiontrack.Session) error
	finish() error
}

func (l *listing) print(ctx context.Context, t *sessiontrack.Tracker, stdout io.Writer) error {
	state := l.query.Filter.State
	var w writer = newTable(stdout, state == sessiontrack.StateAny || state == sessiontrack.StateEnded)
	if l.json {
		w = &array{w: bufio.NewWriter(stdout)}
	}
	if err := l.each(ctx, t, w.write); err != nil {
		return err
	}
	return w.finish()
}

// array prints a JSON array with one session per line.
type array struct {
	w *bufio.Writer
	n int
}

func (a *array) write(s sessiontrack.Session) error {
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	separator := ",\n"
	if a.n == 0 {
		separator = "[\n"
	}
	a.n++
	_, err = a.w.WriteString(separator + string(text))
	return err
}

func (a *array) finish() error {
	closing := "\n]\n"
	if a.n == 0 {
		closing = "[]\n"
	}
	_, _ = a.w.WriteString(closing)
	return a.w.Flush()
}

// table prints a table.
type table struct {
	w     *tabwriter.Writer
	ended bool
}

func newTable(stdout io.Writer, ended bool) *table {
	t := &table{tabwriter.NewWriter(stdout, 2, 0, 2, ' ', 0), ended}
	header := "USER\tSESSION\tDEVICE\tADDRESS\tPLACE\tSIGNED IN\tLAST ACTIVITY\tBROWSER"
	if ended {
		header += "\tENDED"
	}
	_, _ = fmt.Fprintln(t.w, header) // Flush returns the error
	return t
}

func (t *table) write(s sessiontrack.Session) error {
	kind := s.Device.Type
	if kind == "" {
		kind = sessiontrack.DeviceUnknown
	}
	address := ""
	if s.Address.IsValid() {
		address = s.Address.String()
	}
	cells := []string{s.UserID, string(s.ID), string(kind), address, s.Location.String(), stamp(s.LoginAt),
		stamp(s.LastActivity), browserOf(s)}
	if t.ended {
		end := ""
		if s.Ended() {
			end = stamp(s.LogoutAt) + " " + string(s.EndReason)
		}
		cells = append(cells, end)
	}
	for i := range cells {
		cells[i] = printable(cells[i])
	}
	_, err := fmt.Fprintln(t.w, strings.Join(cells, "\t"))
	return err
}

func (t *table) finish() error { return t.w.Flush() }

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// browserOf names the session's browser, system and device as far as they are known.
func browserOf(s sessiontrack.Session) string {
	parts := strings.Fields(s.Device.Browser + " " + s.Device.BrowserVersion)
	if s.Device.OS != "" {
		parts = append(parts, "on", s.Device.OS)
	}
	if len(parts) == 0 {
		return s.UserAgent
	}
	return strings.Join(parts, " ")
}

// maxCell is the longest cell. A longer hostile value would push the others off the screen.
const maxCell = 60

// printable makes untrusted text safe for a terminal. It removes tabs and characters that move the
// cursor or change the direction of writing. Empty text becomes "-".
func printable(text string) string {
	if text == "" {
		return "-"
	}
	runes := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text))
	if len(runes) > maxCell {
		runes = append(runes[:maxCell-1], '…')
	}
	return string(runes)
}
