package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/sessiontrack/sessiontrack"
	"github.com/sessiontrack/sessiontrack/internal/useragent"
)

const classifySynopsis = `[-json] [-definitions FILE] [-version] < LINES

Each line of standard input is a JSON string, the user agent, or an object
{"ua": "…", "headers": {"Sec-CH-UA-Mobile": "?1", …}}. Each gives one line on
standard output: the type, or with -json the whole device. A line that cannot
be read gives "unknown" and a message on standard error.
`

// classify writes one line to stdout for each line of stdin.
func classify(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := newFlags("classify", classifySynopsis, stderr)
	asJSON := flags.Bool("json", false, "print the whole device as JSON")
	definitions := flags.String("definitions", "", "uap-core's regexes.yaml to use instead of the embedded one")
	version := flags.Bool(
		"version",
		false,
		"print the versions and dates of rules, tables and definitions, and nothing else",
	)
	if err := parse(flags, args); err != nil {
		return err
	}
	if *version {
		return printVersions(stdout, *definitions)
	}
	classifier, err := newClassifier(*definitions)
	if err != nil {
		return err
	}
	answer := func(h http.Header) any { return classifier.Classify(h) }
	unread := any(sessiontrack.Device{Type: sessiontrack.DeviceUnknown})
	if !*asJSON {
		answer = func(h http.Header) any { // needs no names, and so no expressions
			return sessiontrack.DeviceType(useragent.Type(useragent.Clean(h.Get("User-Agent")), useragent.Hints(h)))
		}
		unread = sessiontrack.DeviceUnknown
	}
	out := bufio.NewWriter(stdout)
	lines := bufio.NewReaderSize(stdin, 64<<10)
	for n := 1; ctx.Err() == nil; n++ {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			device := unread
			if header, bad := readLine(line); bad != nil {
				fmt.Fprintf(stderr, "sessiontrack classify: line %d: %v\n", n, bad)
			} else {
				device = answer(header)
			}
			if bad := writeAnswer(out, device); bad != nil {
				return bad
			}
		}
		if errors.Is(err, io.EOF) {
			return out.Flush()
		}
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if lines.Buffered() == 0 { // the caller may be waiting for the answer
			if bad := out.Flush(); bad != nil {
				return bad
			}
		}
	}
	return errors.Join(ctx.Err(), out.Flush())
}

// printVersions says what the answers go by: our rules and tables, and the definitions.
func printVersions(out io.Writer, path string) error {
	kinds, names := useragent.Tables()
	version, date := useragent.DefinitionsVersion()
	source := "embedded, uap-go " + version
	if path != "" {
		file, err := os.Stat(path)
		if err != nil {
			return err
		}
		source, date = path, file.ModTime().UTC().Format(time.DateOnly)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "rules\tversion %d\t%s\t\n", useragent.TablesVersion, useragent.TablesDate)
	fmt.Fprintf(
		table,
		"models\tversion %d\t%s\t%d that are no phones\n",
		useragent.TablesVersion,
		useragent.TablesDate,
		kinds,
	)
	fmt.Fprintf(table, "names\tversion %d\t%s\t%d, of models until %s\n",
		useragent.TablesVersion, useragent.TablesDate, names, useragent.NamesUntil)
	fmt.Fprintf(table, "definitions\t%s\t%s\t\n", source, date)
	return table.Flush()
}

func newClassifier(path string) (*sessiontrack.Classifier, error) {
	if path == "" {
		return sessiontrack.NewClassifier(nil)
	}
	definitions, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return sessiontrack.NewClassifier(definitions)
}

// writeAnswer writes a type as plain text and a device as JSON.
func writeAnswer(out *bufio.Writer, answer any) error {
	if t, ok := answer.(sessiontrack.DeviceType); ok {
		_, err := fmt.Fprintln(out, t)
		return err
	}
	return json.NewEncoder(out).Encode(answer)
}

// readLine converts one line to request headers.
func readLine(line []byte) (http.Header, error) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil, errors.New("empty")
	}
	var said struct {
		UA      string            `json:"ua"`
		Headers map[string]string `json:"headers"`
	}
	var err error
	if line[0] == '"' {
		err = json.Unmarshal(line, &said.UA)
	} else {
		err = json.Unmarshal(line, &said)
	}
	if err != nil {
		return nil, err
	}
	header := http.Header{}
	for name, value := range said.Headers {
		header.Set(headerName(name), value)
	}
	if said.UA != "" || header.Get("User-Agent") == "" {
		header.Set("User-Agent", said.UA)
	}
	return header, nil
}

// headerName accepts the names of client hints that are usual in collections of user agents: CGI's
// names, and those of navigator.userAgentData.
func headerName(name string) string {
	lower := strings.ToLower(strings.ReplaceAll(name, "_", "-"))
	if hint, ok := userAgentData[lower]; ok {
		return hint
	}
	return strings.TrimPrefix(lower, "http-")
}

var userAgentData = map[string]string{
	"mobile": "Sec-CH-UA-Mobile", "model": "Sec-CH-UA-Model", "platform": "Sec-CH-UA-Platform",
	"platformversion": "Sec-CH-UA-Platform-Version",
	"formfactors":     "Sec-CH-UA-Form-Factors", "formfactor": "Sec-CH-UA-Form-Factors", "brands": "Sec-CH-UA",
}
