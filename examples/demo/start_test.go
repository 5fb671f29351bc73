package main

import (
	"bytes"
	"context"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runDemo runs the demo until it gives up, and returns its exit code and stderr.
func runDemo(t *testing.T, secret string, args ...string) (int, string) {
	t.Helper()
	var stderr bytes.Buffer
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env, cmd.Stderr = []string{"JWT_SECRET=" + secret}, &stderr
	err := cmd.Run()
	require.True(t, err == nil || cmd.ProcessState != nil, "%v", err)
	return cmd.ProcessState.ExitCode(), stderr.String()
}

func TestWhatCannotWorkIsNamedAtTheStart(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() }) // the parallel ones run after this function
	for name, test := range map[string]struct {
		secret string
		args   []string
		code   int
		says   string
	}{
		"a secret of 8 bytes":   {"12345678", nil, 2, "JWT_SECRET has 8 bytes: want at least 32"},
		"a secret of 31 bytes":  {strings.Repeat("x", 31), nil, 2, "JWT_SECRET has 31 bytes"},
		"an unknown store":      {"", []string{"-store", "mysql://host/db"}, 2, "-store"},
		"no SQLite file":        {"", []string{"-store", "sqlite:"}, 2, "-store: sqlite: Open: path is empty"},
		"no such folder":        {"", []string{"-store", "sqlite:/nowhere/x.db"}, 1, "unable to open database file"},
		"a malformed DSN":       {"", []string{"-store", "postgres://u:hunter2@host:port/db"}, 2, "-store"},
		"no database there":     {"", []string{"-store", "postgres://u:hunter2@127.0.0.1:1/db"}, 1, "-store"},
		"a negative simulation": {"", []string{"-simulate", "-1"}, 2, "-simulate is -1: want 0 to 10000"},
		"a huge simulation":     {"", []string{"-simulate", "10001"}, 2, "-simulate"},
		"a negative limit":      {"", []string{"-max-sessions", "-1"}, 2, "-max-sessions is -1: want 0 (any number) or more"},
		"an unknown policy":     {"", []string{"-limit-policy", "newest"}, 2, `-limit-policy is "newest": want oldest, least or deny`},
		"no network":            {"", []string{"-trusted-proxies", "10.0.0.0/8,nonsense"}, 2, `"nonsense" is neither a network nor an address`},
		"everybody trusted":     {"", []string{"-trusted-proxies", "0.0.0.0/0"}, 1, "0.0.0.0/0"},
		"an unknown flag":       {"", []string{"-verbose"}, 2, "-verbose (-help lists the flags)"},
		"an argument":           {"", []string{"serve"}, 2, `unexpected argument "serve"`},
		"an address in use":     {"", []string{"-addr", taken.Addr().String()}, 1, "already: name another"},
		"help":                  {"", []string{"-help"}, 0, "-simulate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stderr := runDemo(t, test.secret, test.args...)
			assert.Equal(t, test.code, code, stderr)
			assert.Contains(t, stderr, test.says)
			assert.NotContains(t, stderr, "hunter2")
			assert.NotContains(t, stderr, "panic")
		})
	}
}

func TestGreetingSaysWhereToLookAndHowToSignIn(t *testing.T) {
	t.Parallel()
	d := startDemo(t)
	d.get("/")
	d.stop()
	for _, text := range []string{"Look at   " + d.base + "/", "admin@example.com", "root@example.com", "user50@example.com", "password: demo"} {
		assert.Contains(t, d.stdout.String(), text)
	}
}
