// Demo is a small web application with sessiontrack in front of it: people sign in,
// see who is online, and administrators end sessions. Two of them with the same
// database and JWT_SECRET are two replicas of one application.
//
//	go run ./examples/demo
//	go run ./examples/demo -simulate 50
//	JWT_SECRET=… go run ./examples/demo -store sqlite:sessions.db
//	JWT_SECRET=… go run ./examples/demo -store postgres://user@host/database
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience bounds each step of the start and of the shutdown.
const patience = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	os.Exit(status(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr), os.Stderr))
}

// status reports an error and turns it into the exit code: 2 where the command line
// or the environment is wrong, 1 for everything else.
func status(err error, stderr io.Writer) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "demo: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "demo: %v\n", err)
	return 1
}

// run serves until ctx is done.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) (err error) {
	config, err := parseConfig(args, getenv, stderr)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	slog.SetDefault(log)

	store, closeStore, err := openStore(ctx, config.store, config.activity)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeStore()) }() // last: the tracker writes until its end
	app, err := newApplication(config, store, log)
	if err != nil {
		return err
	}
	if err := app.tracker.Start(ctx); err != nil {
		return err
	}
	stopListening, err := listen(ctx, config.store, app.tracker.PollNow, log)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		if stopListening != nil {
			err = errors.Join(err, stopListening(ctx))
		}
		err = errors.Join(err, app.tracker.Shutdown(ctx)) // after the server: no request may touch later
	}()
	if err != nil {
		return err
	}
	return serve(ctx, config, app, stdout, log)
}

// serve listens, says where, and serves until ctx is done.
func serve(ctx context.Context, config config, app *application, stdout io.Writer, log *slog.Logger) error {
	listener, err := net.Listen("tcp", config.addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf(
			"-addr: something listens on %s already: name another, such as 127.0.0.1:0 for any that is free",
			config.addr,
		)
	}
	if err != nil {
		return fmt.Errorf("-addr: %w", err)
	}
	server := &http.Server{
		Handler: app,
		// No ReadTimeout and no WriteTimeout: both would cut answers that stream. The
		// application bounds the time of a body itself.
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	server.RegisterOnShutdown(app.tracker.EndStreams) // they would not end by themselves
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	greet(stdout, config, listener.Addr())
	simulated := startSimulation(ctx, config, listener.Addr(), log)
	select {
	case err = <-served:
	case <-ctx.Done():
	}
	simulated.stop()
	return errors.Join(err, shutdown(ctx, server))
}

// shutdown lets requests finish, and cuts off what does not.
func shutdown(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience/2)
	defer cancel()
	err := server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return server.Close()
	}
	return err
}

// greet says where to look and how to sign in.
func greet(w io.Writer, config config, addr net.Addr) {
	base := baseURL(addr)
	fmt.Fprintf(w, "demo: serving on %s\n\n", base)
	fmt.Fprintf(w, "  store      %s\n", config.storeName())
	if config.randomSecret {
		fmt.Fprintf(w, "  JWT_SECRET not set: a random one, so sign-ins end with this program\n")
	}
	if config.simulate > 0 {
		fmt.Fprintf(w, "  simulating %d users, sim1@example.com to sim%d@example.com\n", config.simulate, config.simulate)
	}
	fmt.Fprintf(w, "\nLook at   %s/\n", base)
	fmt.Fprintf(w, "          %s/dashboard/ (as an administrator)\n", base)
	fmt.Fprintf(w, "          %s/account/devices/ (as anybody)\n", base)
	fmt.Fprintf(w, "Sign in   admin@example.com (admin), root@example.com (superadmin),\n")
	fmt.Fprintf(w, "          user1@example.com to user50@example.com; password: %s\n\n", password)
	fmt.Fprintf(w, "  curl -s %s/login -d '{\"email\":\"admin@example.com\",\"password\":\"%s\"}'\n\n", base, password)
}

// baseURL is where a listener can be reached from this machine.
func baseURL(addr net.Addr) string {
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return "http://" + addr.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
