// Command sessiontrack is the command-line tool of the library. Without arguments it lists its
// commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"text/tabwriter"
)

// A command is one command of the tool. run parses its own flags from args. It returns an error to
// be printed, or errUsage if it has already printed the problem.
type command struct {
	name, help string
	run        func(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error
}

// commands are in the order of the usage text.
var commands = []command{
	{"migrate", "create the tables, or update them to this version", migrate},
	{"cleanup", "end the sessions that are past their limits", cleanup},
	{"list", "list sessions, by a filter", list},
	{"count", "count sessions, by a filter", count},
	{"end", "end sessions by their handles, or by a filter", end},
	{"classify", "print the device of each user agent on standard input", classify},
	{"version", "print the version of the command and of the library in it", version},
}

// errUsage means that the arguments were wrong. stderr already says how.
var errUsage = errors.New("usage")

// These are the exit codes.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		usage(stderr)
		return exitUsage
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		usage(stdout)
		return exitOK
	}
	for _, c := range commands {
		if c.name == args[0] {
			return exitCode(c, c.run(ctx, args[1:], stdin, stdout, stderr), stderr)
		}
	}
	fmt.Fprintf(stderr, "sessiontrack: unknown command %q\n", args[0])
	usage(stderr)
	return exitUsage
}

func exitCode(c command, err error, stderr io.Writer) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.Is(err, errUsage):
		return exitUsage
	}
	fmt.Fprintf(stderr, "sessiontrack %s: %v\n", c.name, err)
	return exitFailed
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: sessiontrack COMMAND [flags]")
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 2, 0, 2, ' ', 0)
	for _, c := range commands {
		fmt.Fprintf(table, "  %s\t%s\n", c.name, c.help)
	}
	table.Flush()
	fmt.Fprintln(w)
	fmt.Fprintln(w, "sessiontrack COMMAND -h prints a command's flags.")
}

// newFlags returns a flag set that prints its usage to stderr.
func newFlags(name, synopsis string, stderr io.Writer) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprintf(stderr, "usage: sessiontrack %s %s\n", name, synopsis)
		flags.PrintDefaults()
	}
	return flags
}

// parse reads flags and refuses further arguments.
func parse(flags *flag.FlagSet, args []string) error {
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return err
	case err != nil:
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(flags.Output(), "sessiontrack %s: unexpected argument %q\n", flags.Name(), flags.Arg(0))
		flags.Usage()
		return errUsage
	}
	return nil
}
