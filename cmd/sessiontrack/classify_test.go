package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// invoke runs the command. It returns the exit code and both outputs.
func invoke(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, strings.NewReader(stdin), &out, &errs)
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"nothing":         {nil, exitUsage, "", "usage: sessiontrack COMMAND"},
		"help":            {[]string{"help"}, exitOK, "classify", ""},
		"unknown":         {[]string{"clasify"}, exitUsage, "", `unknown command "clasify"`},
		"a command's own": {[]string{"classify", "-h"}, exitOK, "", "-definitions"},
		"unknown flag":    {[]string{"classify", "-x"}, exitUsage, "", "-x"},
		"argument":        {[]string{"classify", "x"}, exitUsage, "", `unexpected argument "x"`},
		"no such file": {[]string{"classify", "-definitions", filepath.Join(t.TempDir(), "none")}, exitFailed, "",
			"sessiontrack classify: open"},
	} {
		code, stdout, stderr := invoke(t, "", tt.args...)
		assert.Equal(t, tt.code, code, name)
		assert.Contains(t, stdout, tt.stdout, name)
		assert.Contains(t, stderr, tt.stderr, name)
	}
}

func TestClassify(t *testing.T) {
	t.Parallel()
	const frozen = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 " +
		"Safari/537.36"
	const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 " +
		"Safari/605.1.15"
	lines := []struct{ in, want string }{
		{`"curl/8.5.0"`, "bot"},
		{`"` + frozen + `"`, "tablet"},
		{`{"ua":"` + frozen + `"}`, "tablet"},
		{`{"ua":"` + frozen + `","headers":{"sec-ch-ua-model":"\"SM-S911B\"","Sec-Ch-Ua-Mobile":"?1"}}`, "tablet"},
		{`{"ua":"` + mac + `","headers":{"x-max-touch-points":"5"}}`, "tablet"},
		{`{"ua":"` + mac + `","headers":{"HTTP_X_MAX_TOUCH_POINTS":"5"}}`, "tablet"},
		{`{"ua":"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/131.0.0.0 Safari/537.36","headers":{"mobile":"?1"}}`,
			"mobile"},
		{`{"ua":"` + frozen + `","headers":{"HTTP-Sec-CH-UA-Form-Factors":"XR"}}`, "wearable"},
		{`{"ua":"","headers":{"user-agent":"curl/8.5.0"}}`, "bot"},
		{`""`, "unknown"},
		{`{}`, "unknown"},
		{``, "unknown"},
		{`not JSON`, "unknown"},
		{`{"ua":5}`, "unknown"},
		{`"` + strings.Repeat("x", 900<<10) + `"`, "bot"},
	}
	var in, want []string
	for _, line := range lines {
		in, want = append(in, line.in), append(want, line.want)
	}
	for name, end := range map[string]string{"last line complete": "\n", "last line cut": ""} {
		code, stdout, stderr := invoke(t, strings.Join(in, "\n")+end, "classify")
		assert.Equal(t, exitOK, code, name)
		assert.Equal(t, want, strings.Split(strings.TrimSuffix(stdout, "\n"), "\n"), name)
		for _, line := range []string{"line 12", "line 13", "line 14"} {
			assert.Contains(t, stderr, line, name)
		}
		assert.Equal(t, 3, strings.Count(stderr, "\n"), name)
	}
}

func TestClassifyAsJSON(t *testing.T) {
	t.Parallel()
	code, stdout, stderr := invoke(t, "\"curl/8.5.0\"\nbad\n", "classify", "-json")
	assert.Equal(t, exitOK, code)
	assert.Equal(t,
		`{"type":"bot","browser":"curl","browserVersion":"8.5.0","source":"user_agent"}`+"\n"+`{"type":"unknown"}`+"\n",
		stdout)
	assert.Contains(t, stderr, "line 2")
}

func TestClassifyWithDefinitions(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "regexes.yaml")
	write := func(text string) { require.NoError(t, os.WriteFile(file, []byte(text), 0o600)) }
	write("user_agent_parsers:\n  - regex: '(Ours)/(\\d+)'\nos_parsers:\n  - regex: '(Windows)'\ndevice_parsers:\n  - " +
		"regex: '(Thing)'\n")
	_, stdout, _ := invoke(t, `"Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Ours/7"`, "classify", "-json",
		"-definitions", file)
	assert.Contains(t, stdout, `"browser":"Ours","browserVersion":"7"`)
	write("user_agent_parsers:\n  - regex: '('\n")
	code, _, stderr := invoke(t, "", "classify", "-definitions", file)
	assert.Equal(t, exitFailed, code)
	assert.Contains(t, stderr, "definitions")
}

// TestClassifyAnswersEveryLine reads many lines, and says how long that took.
func TestClassifyAnswersEveryLine(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes everything ten times slower")
	}
	var in strings.Builder
	for i := range 20_000 { // each line has another agent, so that no cache helps
		in.WriteString(`"Mozilla/5.0 (Linux; Android ` + string(rune('5'+i%5)) + `; SM-G` + strings.Repeat("9", 1+i%3) +
			string(rune('A'+i%26)) + `) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/`)
		in.WriteString(time.Duration(i).String() + ` Mobile Safari/537.36"` + "\n")
	}
	for flag, args := range map[string][]string{"types": {"classify"}, "devices": {"classify", "-json"}} {
		start := time.Now()
		code, stdout, _ := invoke(t, in.String(), args...)
		took := time.Since(start)
		require.Equal(t, exitOK, code)
		require.Equal(t, 20_000, strings.Count(stdout, "\n"))
		t.Logf("20,000 %s in %v", flag, took)
	}
}

func TestClassifyEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var out, errs bytes.Buffer
	assert.Equal(t, exitFailed, run(ctx, []string{"classify"}, strings.NewReader("\"a\"\n"), &out, &errs))
	assert.Contains(t, errs.String(), "canceled")
}
