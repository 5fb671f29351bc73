package main

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/sessiontrack/sessiontrack"
	devices "github.com/sessiontrack/sessiontrack/account"
	"github.com/sessiontrack/sessiontrack/dashboard"
	"github.com/sessiontrack/sessiontrack/openapi"
	trackermetrics "github.com/sessiontrack/sessiontrack/prometheus"
)

// issuer is the iss of the demo's JWTs.
const issuer = "sessiontrack-demo"

// application is the demo's HTTP side.
type application struct {
	http.Handler
	tracker *sessiontrack.Tracker
	metrics http.Handler
	users   users
	secret  []byte
}

func newApplication(config config, store sessiontrack.Store, log *slog.Logger) (*application, error) {
	identifier, err := sessiontrack.NewJWTIdentifier(sessiontrack.JWTOptions{Secret: config.secret, Issuer: issuer})
	if err != nil {
		return nil, err
	}
	a := &application{users: newUsers(), secret: config.secret}
	metrics := trackermetrics.New()
	options := &sessiontrack.Options{
		Observer:        metrics.Observer(),
		Identifier:      identifier,
		Cookie:          &sessiontrack.CookieOptions{InsecureHTTP: true, Alone: true}, // for the pages
		Refuse:          sessiontrack.RedirectPages("/login"),
		MaxSessions:     config.maxSessions,
		LimitPolicy:     config.limitPolicy,
		ClientIP:        sessiontrack.TrustedProxies(config.trusted...),
		Skip:            sessiontrack.SkipPrefixes("/static/", "/docs"),
		SessionOptional: sessiontrack.SkipPrefixes("/", "/login", "/healthz", "/metrics", "/dashboard"),
		Directory:       a.users,
		Locator:         places{},
		Roles:           a.users.Roles,
		NumericUserIDs:  true,
		Logger:          log,
	}
	if _, file := sqlitePath(config.store); file {
		options.StoreTimeout = 2 * time.Second // a file has one writer at a time, and another replica may be it
	}
	if config.fast {
		hurry(options)
	}
	if a.tracker, err = sessiontrack.New(store, options); err != nil {
		return nil, err
	}
	metrics.Watch(a.tracker)
	registry := prometheus.NewRegistry()
	registry.MustRegister(metrics, collectors.NewGoCollector())
	a.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	a.Handler = timelyBodies(a.tracker.Middleware(a.routes()))
	return a, nil
}

// timelyBodies bounds the time that a request's body may take, also where nobody needs
// it: the server reads to its end before it answers. A ReadTimeout would do the same and
// cut off streams.
func timelyBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
		}
		next.ServeHTTP(w, r)
	})
}

// hurry makes the intervals a tenth of their defaults, for those who watch. Windows
// and limits stay.
func hurry(o *sessiontrack.Options) {
	o.TouchInterval = 1500 * time.Millisecond
	o.FlushInterval = 200 * time.Millisecond
	o.FeedInterval = 100 * time.Millisecond
	o.PresenceStep = 3 * time.Second
	o.SampleInterval = 6 * time.Second
	o.CleanupInterval = time.Minute
}

func (a *application) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/api/user-sessions/", a.tracker.AdminHandler(nil))
	mux.Handle("/api/v1/online/", a.tracker.UserHandler(nil))
	page := dashboard.Handler(&dashboard.Options{ // relative paths work behind a proxy that cuts a prefix, too
		AdminPath: "../api/user-sessions/", OnlinePath: "../api/v1/online/", LoginPath: "../login", LogoutPath: "../logout",
		DevicesPage: "../account/devices/",
	})
	mux.Handle("/dashboard", page) // adds the slash
	mux.Handle("/dashboard/", page)
	mine := devices.Handler(&devices.Options{Tracker: a.tracker, Home: "/app"})
	mux.Handle("/account/devices", mine)
	mux.Handle("/account/devices/", mine)
	own := http.NewServeMux()
	own.Handle("/login", methods{http.MethodGet: a.signInPage, http.MethodPost: a.login})
	own.Handle("/logout", methods{http.MethodPost: a.logout})
	own.Handle("/step-up", methods{http.MethodPost: a.stepUp})
	own.Handle("/impersonate/{userId}", methods{http.MethodPost: a.impersonate})
	own.Handle("/app", methods{http.MethodGet: a.tracker.Require(http.HandlerFunc(a.app)).ServeHTTP})
	own.Handle("/chat", methods{http.MethodGet: a.tracker.Require(http.HandlerFunc(a.chat)).ServeHTTP})
	own.Handle("/api/me", methods{http.MethodGet: a.me})
	own.Handle("/api/secret", methods{
		http.MethodGet: a.tracker.RequireFresh(http.HandlerFunc(a.secretOfUser), freshFor).ServeHTTP,
	})
	own.Handle("/{$}", methods{http.MethodGet: a.start})
	own.Handle("/docs", methods{http.MethodGet: a.docs})
	own.Handle("/docs/openapi.yaml", methods{http.MethodGet: openapi.Handler(nil).ServeHTTP})
	own.Handle("/static/avatars/{name}", methods{http.MethodGet: a.avatar})
	own.Handle("/static/{name...}", methods{http.MethodGet: static})
	own.Handle("/healthz", methods{http.MethodGet: a.healthz})
	own.Handle("/metrics", methods{http.MethodGet: a.metrics.ServeHTTP})
	own.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { refuse(w, notFound) })

	protection := http.NewCrossOriginProtection() // against signing people in or out from another site
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { refuse(w, crossOrigin) }))
	mux.Handle("/", protection.Handler(own))
	return mux
}
