// Package sessiontrack knows who is signed in to a web application, who is online,
// from which device and place, and ends any of those sessions everywhere at once.
//
// A [Tracker] sits as middleware in front of the application's handlers. It finds the
// session of each request, in memory where it can, refuses what has ended, and records
// activity without a write per request. A [Store] keeps the sessions: [MemoryStore] for
// tests and for applications of one process, [BunStore] for PostgreSQL and any number
// of processes.
//
// # A session
//
// A session has a handle ([SessionID]), which names it in lists, paths, logs and a
// JWT's sid claim and authenticates nobody, and a secret, which the client alone holds:
// a [Token] is the two of them, "handle.secret". The store keeps the secret's SHA-256.
// A credential of the application's own, such as a JWT, is tracked without Login too: as
// a derived session, whose handle every replica computes alike.
//
// A session ends once, with a reason, and nothing brings it back. It is good while it
// has not ended and is inside two limits, [Options.IdleTimeout] and [Options.Lifetime],
// both decided at the request.
//
// # What the middleware answers
//
// A carrier is the header x-session-id, the session cookie where [Options.Cookie] asks
// for one, or what [Options.Identifier] reads. Each one that is present must be good by
// itself and come once, and all must name one session and one user.
//
//	no carrier                                             passes, untracked
//	a path that Skip names                                 passes, untracked, not protected
//	a live session                                         passes, touched
//	an ended or expired one, proved                        401 session_ended, with the reason
//	a genuine token past its exp                           401 token_expired
//	anything unknown, malformed, foreign, contradictory    401 session_invalid
//	a derived session that MaxSessions denies              403 session_limit
//	an unsafe cross-origin request by cookie               403 cross_origin
//	a session while the store cannot say                   503 store_unavailable
//	any of the 401s, or the 503, where SessionOptional does    passes, untracked
//
// Answers are application/problem+json (RFC 9457) with the code. The handlers add
// unauthenticated (401), forbidden (403), bad_request (400), not_found (404),
// method_not_allowed (405), too_many_streams (503) and internal (500).
//
// A refusal clears a cookie that can never work again. The middleware refuses on every
// path, the one to sign in on too: name those that must work with a session that has
// ended in [Options.SessionOptional].
//
// # Several processes
//
// Each process caches sessions and reads the store's feed of ended ones every second:
// a session that has ended is refused everywhere within [Options.MaxStaleness] (5 s),
// and usually within one second; package pglisten makes that milliseconds. While the
// store cannot be reached, cached sessions are served for [Options.StaleGrace] longer,
// and a session that cannot be checked is 503, never 401.
package sessiontrack
