package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"strings"
)

// library begins the paths of the library's modules.
const library = "github.com/sessiontrack/sessiontrack"

// version prints the version of the command, of the library's modules in it, and of Go.
func version(_ context.Context, args []string, _ io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("version", "", stderr)
	if err := parse(flags, args); err != nil {
		return err
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return fmt.Errorf("the program was built without its modules")
	}
	return printVersion(stdout, info)
}

func printVersion(w io.Writer, info *debug.BuildInfo) error {
	if _, err := fmt.Fprintf(w, "sessiontrack %s %s\n", info.Main.Version, info.GoVersion); err != nil {
		return err
	}
	for _, m := range info.Deps {
		if m.Path != library && !strings.HasPrefix(m.Path, library+"/") {
			continue
		}
		if _, err := fmt.Fprintf(w, "  %s %s\n", m.Path, m.Version); err != nil {
			return err
		}
	}
	return nil
}
