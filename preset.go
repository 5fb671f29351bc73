package sessiontrack

import "time"

// AAL2 returns o with the limits that NIST SP 800-63B asks of authenticator assurance
// level 2: 30 minutes of inactivity and 12 hours in all, where the defaults of 24 hours
// and 30 days suit level 1. Shorter ones that o has stay. It also takes back the grace
// during which cached sessions are served while the store is away: what cannot be
// checked within MaxStaleness is then refused with 503.
//
// (Revision 3 says 30 minutes and 12 hours, §4.2.3; revision 4 allows 1 hour and 24.)
func (o Options) AAL2() Options {
	o.IdleTimeout = shorter(o.IdleTimeout, 30*time.Minute)
	o.Lifetime = shorter(o.Lifetime, 12*time.Hour)
	o.StaleGrace = -1
	o.InsecureFailOpen = false
	return o
}

// shorter keeps a limit that is set and at most bound.
func shorter(limit, bound time.Duration) time.Duration {
	if limit > 0 && limit < bound {
		return limit
	}
	return bound
}
