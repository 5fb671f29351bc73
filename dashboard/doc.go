// Package dashboard is a page that shows who is signed in and online, and lets
// administrators end sessions. It is embedded, needs no build step and loads
// nothing from elsewhere.
//
//	mux.Handle("/api/user-sessions/", tracker.AdminHandler(nil))
//	mux.Handle("/api/v1/online/", tracker.UserHandler(nil))
//	mux.Handle("/dashboard/", dashboard.Handler(nil))
//
// Page and assets are public and hold no data: everything that the page shows
// comes from those two families of handlers, which authorize each call. A host
// whose middleware protects every path lists the dashboard's among its public
// ones.
//
// # How the page proves who looks at it
//
// With the host's session cookie there is nothing to do. With a bearer token and
// a session id, the host hands them over in one of three ways: the page's own
// form asks [Options.LoginPath] for them, the module named by
// [Options.Credentials] returns them, or a window of the same origin posts
//
//	{type: "sessiontrack:credentials", token: "…", sessionId: "…"}
//
// to the page's window, which posts {type: "sessiontrack:ready"} to its opener
// when it is ready for them. They are kept in memory only, sent as headers only,
// and gone after a reload. (The page isolates itself by
// Cross-Origin-Opener-Policy: a window that opens it and wants to post to it must
// send the same policy, same-origin.)
package dashboard
