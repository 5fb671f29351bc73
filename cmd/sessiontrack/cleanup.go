package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"regexp"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// shortestIdle is the shortest idle timeout. A session with a shorter one could end while its
// latest activity is still in a replica's buffer.
const shortestIdle = 20 * time.Second

const cleanupSynopsis = `-dsn DSN [-idle 24h] [-retention 4320h]

Ends the sessions that are past their lifetime or have been idle for too long, and
prints how many it ended. A running application does the same by itself every
CleanupInterval. This command does not know the application's options: give -idle its
IdleTimeout, or 0 if it has none.

Several cleanups may run at once; each session is counted once. After the first
thousand about 800 sessions a second are ended, so that running applications are not
slowed down.

With -retention ended sessions are deleted. Of an ended session whose credential has no
known end, its handle is kept for at least 400 days.
`

// cleanup ends the sessions that are past their limits, and purges if -retention is set.
func cleanup(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("cleanup", cleanupSynopsis, stderr)
	dsn := dsnFlag(flags)
	idle := flags.Duration(
		"idle",
		24*time.Hour,
		"end sessions that have been without activity for this long, "+
			"plus 18s for activity that is not written yet; 0: do not",
	)
	retention := flags.Duration("retention", 0, "delete sessions that ended this long ago; 0: do not")
	if err := parse(flags, args); err != nil {
		return err
	}
	options := sessiontrack.Options{IdleTimeout: -1, Retention: -1}
	if *idle != 0 {
		options.IdleTimeout = *idle
	}
	if *retention != 0 {
		options.Retention = *retention
		options.KeepEnded = max(400*24*time.Hour, *retention)
	}
	switch {
	case *idle != 0 && *idle < shortestIdle:
		return misused(flags, stderr, "-idle is %v: want at least %v, or 0", *idle, shortestIdle)
	case *retention != 0 && *retention < time.Minute:
		return misused(flags, stderr, "-retention is %v: want at least 1m0s, or 0", *retention)
	}
	return withTracker(ctx, flags, *dsn, options, stderr, func(t *sessiontrack.Tracker) error {
		ended, err := t.Cleanup(ctx)
		if err != nil {
			return fmt.Errorf("after %d: %w", ended, err)
		}
		_, err = fmt.Fprintln(stdout, ended)
		return err
	})
}

// withTracker opens the database, calls f, and closes the database.
func withTracker(ctx context.Context, flags *flag.FlagSet, dsn string, options sessiontrack.Options,
	stderr io.Writer, f func(*sessiontrack.Tracker) error) error {
	db, err := openDatabase(flags, dsn, stderr)
	if err != nil {
		return err
	}
	defer db.close()
	if err := db.check(ctx); err != nil {
		return err
	}
	tracker, err := db.tracker(options)
	if err != nil {
		return err
	}
	return explained(f(tracker))
}

// reasons matches a valid [sessiontrack.EndReason].
var reasons = regexp.MustCompile(`^[a-z0-9_-]{1,32}$`)

const endSynopsis = `-dsn DSN [-reason admin] [-by USER] HANDLE …
       sessiontrack end -dsn DSN [-reason admin] [-by USER] [-dry-run] FILTER

Ends the sessions with these handles, or the active ones that the filter selects, and
prints how many it ended, about 800 a second. Sessions that had ended before are not
counted. Applications refuse ended sessions within seconds. With -user ID alone,
credentials of that user that were issued before and never used are refused, too. With
-dry-run it ends nothing and prints how many sessions the filter selects.
`

// end ends sessions by their handles, or those that a filter selects.
func end(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("end", endSynopsis, stderr)
	dsn, filter, idle := dsnFlag(flags), filterFlags(flags, "state", "reason"), idleFlag(flags)
	dry := flags.Bool("dry-run", false, "end nothing, and print how many sessions the filter selects")
	reason := flags.String("reason", string(sessiontrack.ReasonAdmin),
		"the reason that lists show: a word such as admin or password")
	by := flags.String("by", "", "the id of the `user` who ends them, as lists show it")
	names, err := parseWithNames(flags, args)
	if err != nil {
		return err
	}
	f, err := filter()
	if err != nil {
		return misused(flags, stderr, "%v", err)
	}
	sel, err := selectorOf(names, &f)
	if err != nil {
		return misused(flags, stderr, "%v", err)
	}
	options, err := idle()
	switch {
	case err != nil:
		return misused(flags, stderr, "%v", err)
	case *dry && len(names) > 0:
		return misused(flags, stderr, "-dry-run is set with handles: want it with a filter")
	case !reasons.MatchString(*reason):
		return misused(flags, stderr, "-reason is %q: want 1 to 32 characters of a-z, 0-9, '_' and '-'", *reason)
	}
	return withTracker(ctx, flags, *dsn, options, stderr, func(t *sessiontrack.Tracker) error {
		if *dry {
			return printCount(ctx, t, f, stdout)
		}
		ended, err := t.End(ctx, sel, sessiontrack.Ending{Reason: sessiontrack.EndReason(*reason), Actor: *by})
		if err != nil {
			return fmt.Errorf("after %d: %w", len(ended), err)
		}
		_, err = fmt.Fprintln(stdout, len(ended))
		return err
	})
}

// selectorOf returns what handles or a filter select. One user and nothing else is User, which also
// moves the user's fence.
func selectorOf(names []string, f *sessiontrack.Filter) (sessiontrack.Selector, error) {
	switch {
	case !f.IsZero() && len(names) > 0:
		return sessiontrack.Selector{}, errors.New("handles and a filter are set: want one of them, not both")
	case len(f.Users) == 1 && f.String() == (&sessiontrack.Filter{Users: f.Users}).String():
		return sessiontrack.User(f.Users[0]), nil
	case !f.IsZero():
		return sessiontrack.Matching(*f), nil
	case len(names) == 0:
		return sessiontrack.Selector{}, errors.New("no handle is given: want at least one handle, or a filter such as -user")
	}
	ids := make([]sessiontrack.SessionID, len(names))
	for i, name := range names {
		id, err := sessiontrack.ParseSessionID(name)
		if err != nil { // the value is not printed: it may be a token
			return sessiontrack.Selector{}, fmt.Errorf("argument %d is not a handle: want the 22 characters that list shows",
				i+1)
		}
		ids[i] = id
	}
	return sessiontrack.IDs(ids...), nil
}

// parseWithNames parses flags before, between and after the other arguments. A handle may begin
// with '-', so an argument in the form of a handle is never a flag.
func parseWithNames(flags *flag.FlagSet, args []string) ([]string, error) {
	var names, dashed, rest []string
	for _, arg := range args {
		if _, err := sessiontrack.ParseSessionID(arg); err == nil && arg[0] == '-' {
			dashed = append(dashed, arg)
		} else {
			rest = append(rest, arg)
		}
	}
	for args = rest; ; {
		switch err := flags.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			return nil, err
		case err != nil:
			return nil, errUsage
		}
		if flags.NArg() == 0 {
			return append(names, dashed...), nil
		}
		names, args = append(names, flags.Arg(0)), flags.Args()[1:]
	}
}
