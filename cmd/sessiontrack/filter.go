package main

import (
	"flag"
	"net/url"
	"strings"

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

// filterFlags defines the flags of a filter and returns what reads them.
func filterFlags(flags *flag.FlagSet) func() (sessiontrack.Filter, error) {
	given := url.Values{}
	for _, parameter := range filterUsage {
		name := parameter[0]
		flags.Func(strings.ReplaceAll(name, "_", "-"), parameter[1], func(value string) error {
			given.Add(name, value)
			return nil
		})
	}
	return func() (sessiontrack.Filter, error) { return sessiontrack.ParseFilter(given.Encode()) }
}
