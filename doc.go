// Package sessiontrack knows who is signed in to a web application, who is online,
// from which device and place, and ends any of those sessions everywhere at once.
//
// A [Tracker] sits as middleware in front of the application's handlers. It finds the
// session of each request, in memory where it can. It refuses what has ended, and records
// activity without a write for each request. A [Store] keeps the sessions. [MemoryStore]
// is for tests and for applications of one process. [BunStore] is for PostgreSQL and any
// number of processes. Module sqlite has a store in one file, for a few processes on one
// machine.
//
// # A session
//
// A session has a public name and a secret. The name is the handle ([SessionID]): it stands
// in lists, paths, logs and a JWT's sid claim, and authenticates nobody. The secret is held
// by the client alone; the store keeps its SHA-256. A [Token] is both: "handle.secret".
//
// A credential of the application's own, such as a JWT, is tracked without Login too. Its
// session is called derived, and every replica computes the same handle for it.
//
// A session ends once, with a reason, and nothing brings it back. It is good while it has
// not ended and is inside two limits, [Options.IdleTimeout] and [Options.Lifetime]. Both
// are decided at the request.
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
//	a derived session that MaxSessions or Limit denies     403 session_limit
//	an unsafe cross-origin request by cookie               403 cross_origin
//	a session while the store cannot say                   503 store_unavailable
//	a session where a table or a right is missing          500 internal
//	any of the 401s, 500, 503, at a path of SessionOptional    passes, untracked
//
// Answers are application/problem+json (RFC 9457) with the code. [Tracker.RequireFresh] adds
// stale_authentication (401). The handlers add unauthenticated (401), forbidden (403), bad_request
// (400), not_found (404),
// method_not_allowed (405), too_many_streams (503) and internal (500). The repository's
// docs/http.md has every route and field.
//
// A refusal of a request for a page clears a cookie that can never work again. The
// middleware refuses on every path, also on the sign-in's. [Options.SessionOptional] names
// the paths that must work with a session that has ended.
//
// # Several processes
//
// Each process caches sessions, and reads the store's feed of ended ones every second. A
// session that has ended is refused everywhere within [Options.MaxStaleness] (5 s), and
// usually within one second; package pglisten makes that milliseconds. While the store
// cannot be reached, or has no free connection, cached sessions are served for
// [Options.StaleGrace] longer. A session that cannot be checked is 503, never 401.
//
// # In which order to read this
//
//   - Start with [New], [Options], [Tracker.Middleware], [Tracker.Login], [FromContext].
//     In production also [Tracker.Start] and [Tracker.Shutdown].
//   - Who may call: [Tracker.Require], [Tracker.RequireRole], [Tracker.Logout],
//     [CookieOptions], [NewJWTIdentifier], [Identifier].
//   - Pages: [RedirectPages], [NextPath], [Tracker.EndCurrent], [RefusalFromContext].
//   - Ending: [Tracker.End] with a [Selector] ([IDs], [User]) and an [Ending].
//   - Looking: [Tracker.Get], [Tracker.List], [Tracker.OnlineStats], [Tracker.OnlineUsers].
//   - Watching: [Tracker.Subscribe], [Event], [Tracker.History].
//   - Mounting: [Tracker.AdminHandler], [Tracker.UserHandler], [Tracker.EndStreams], and
//     package dashboard.
//   - Who the client is: [Options.ClientIP], [TrustedProxies], [Device], [Locator].
//   - Operating: [Hooks], [Observer], [Tracker.Counters], [Tracker.Cleanup], package pglisten.
//   - Errors: [ErrUnavailable], [ErrStoreFault], [ErrInvalidArgument], [ErrEnded],
//     [ErrLimit], [ErrNotFound].
//   - Writing a store: [Store], then its capabilities ([EndedFeed] first), and package
//     storetest.
package sessiontrack
