package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sessiontrack/sessiontrack"
)

// filterUsage are the parameters of a filter, as the HTTP API has them. A flag has hyphens for the
// underscores.
var filterUsage = [][2]string{
	{"user", "sessions of this `user`, or of several with commas between them"},
	{"tenant", "sessions of this `organisation`"},
	{"client", "sessions of this `kind` of client"},
	{"acted_by", "sessions that this `administrator` acts in"},
	{"state", "active, ended or any (default active)"},
	{"reason", "ended sessions with this end `reason`, or one of several"},
	{"device", "sessions of this `type`: desktop, mobile, tablet, bot, tv, console, wearable, other, unknown"},
	{"browser", "sessions of this browser, by its `name` without version"},
	{"os", "sessions of this operating system, by its `name` without version"},
	{"country", "sessions from this country, by its two `letters`"},
	{"ip", "sessions last used from, or begun from, this `address` or prefix"},
	{"login_after", "sessions that began at this `time` (RFC 3339) or later"},
	{"login_before", "sessions that began before this `time`"},
	{"idle_for", "sessions without activity for this `duration` or longer"},
	{"seen_within", "sessions with a sign of life within this `duration`"},
	{"derived", "true: only sessions of credentials that are not the library's"},
	{"fresh_before", "sessions whose user has not authenticated at this `time` (RFC 3339) or later"},
}

// filterFlags defines the flags of a filter, without some, and returns what reads them.
func filterFlags(flags *flag.FlagSet, without ...string) func() (sessiontrack.Filter, error) {
	given := url.Values{}
	for _, parameter := range filterUsage {
		name := parameter[0]
		if slices.Contains(without, name) {
			continue
		}
		flags.Func(strings.ReplaceAll(name, "_", "-"), parameter[1], func(value string) error {
			given.Add(name, value)
			return nil
		})
	}
	return func() (sessiontrack.Filter, error) { return sessiontrack.ParseFilter(given.Encode()) }
}

// idleFlag defines -idle, and returns what gives the options with it.
func idleFlag(flags *flag.FlagSet) func() (sessiontrack.Options, error) {
	idle := flags.Duration("idle", 24*time.Hour,
		"the application's IdleTimeout: a session without activity for this long is not active; 0: it has none")
	return func() (sessiontrack.Options, error) {
		switch {
		case *idle == 0:
			return sessiontrack.Options{IdleTimeout: -1}, nil
		case *idle < shortestIdle:
			return sessiontrack.Options{}, fmt.Errorf("-idle is %v: want at least %v, or 0", *idle, shortestIdle)
		}
		return sessiontrack.Options{IdleTimeout: *idle}, nil
	}
}

const countSynopsis = `-dsn DSN [FILTER]

Prints how many sessions the filter selects, without one all active ones. Above 10,000 the
number may be an estimate, and has a ~ in front.
`

// count prints how many sessions a filter selects.
func count(ctx context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("count", countSynopsis, stderr)
	dsn, filter, idle := dsnFlag(flags), filterFlags(flags), idleFlag(flags)
	if err := parse(flags, args); err != nil {
		return err
	}
	f, err := filter()
	if err != nil {
		return misused(flags, stderr, "%v", err)
	}
	options, err := idle()
	if err != nil {
		return misused(flags, stderr, "%v", err)
	}
	return withTracker(ctx, flags, *dsn, options, stderr, func(t *sessiontrack.Tracker) error {
		return printCount(ctx, t, f, stdout)
	})
}

func printCount(ctx context.Context, t *sessiontrack.Tracker, f sessiontrack.Filter, stdout io.Writer) error {
	n, err := t.Count(ctx, f)
	if err != nil {
		return err
	}
	about := "~"
	if n.Exact {
		about = ""
	}
	_, err = fmt.Fprintf(stdout, "%s%d\n", about, n.N)
	return err
}
