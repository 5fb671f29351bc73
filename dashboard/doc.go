// Package dashboard is a page that shows who is signed in and online, and lets
// administrators end sessions. It is embedded in the program, needs no build step and
// loads nothing from other origins. Its files lie in a folder that is named by what is in
// them: browsers keep them for good, and ask again for the page alone.
//
//	mux.Handle("/api/user-sessions/", tracker.AdminHandler(nil))
//	mux.Handle("/api/v1/online/", tracker.UserHandler(nil))
//	page := dashboard.Handler(nil)
//	mux.Handle("GET /dashboard", page)
//	mux.Handle("GET /dashboard/", page)
//
// The first of the page's patterns redirects to the second. The redirect is relative, so
// that it works behind a proxy that cuts a prefix; an [http.ServeMux] that has the second
// pattern alone redirects to a path without that prefix.
//
// The page and its assets are public and hold no data. All data come from those two
// families of handlers, which authorize each call. A host names the page's path in
// [sessiontrack.Options.SessionOptional], so that a person whose session has ended can
// load the page and sign in again.
//
// The page asks again by a timer for much of what it shows. Those requests are passive:
// they keep no session alive, so an untouched page is signed out when its session has
// been idle for too long.
//
// # How the page proves who looks at it
//
// With the host's session cookie there is nothing to do. With a bearer token and a
// session id, the host hands them over in one of three ways. The page's own form asks
// [Options.LoginPath] for them, or the module named by [Options.Credentials] returns them,
// or a window of the same origin posts
//
//	{type: "sessiontrack:credentials", token: "…", sessionId: "…"}
//
// to the page's window, which posts {type: "sessiontrack:ready"} to its opener
// when it is ready for them. They are kept in memory only, sent as headers only, and gone
// after a reload. The page isolates itself by Cross-Origin-Opener-Policy: a window that
// opens it and posts to it must have the same policy, same-origin.
package dashboard
