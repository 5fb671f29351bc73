package main

import (
	_ "embed"
	"strings"
)

// agent is a browser as a server sees it.
type agent struct {
	userAgent string
	language  string
	// platform and mobile are the client hints that Chromium sends by itself; without
	// a platform none are sent.
	platform string
	mobile   bool
}

// agentTable has an agent a line: desk or more, platform, mobile or nothing, language, user
// agent, with tabs between them.
//
//go:embed agents.tsv
var agentTable string

// firstAgents are what people sign in with at their desk or in their hand, and
// moreAgents what they have besides.
var firstAgents, moreAgents = agentsOf(agentTable)

func agentsOf(table string) (first, more []agent) {
	for line := range strings.Lines(table) {
		column := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		a := agent{platform: column[1], mobile: column[2] == "mobile", language: column[3], userAgent: column[4]}
		if column[0] == "desk" {
			first = append(first, a)
		} else {
			more = append(more, a)
		}
	}
	return first, more
}
