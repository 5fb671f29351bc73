// Package useragent tells devices by what requests say of them: user agents, client
// hints and the count of touch points. It knows no requests' sessions and keeps no
// state but a cache.
package useragent

import "github.com/sessiontrack/sessiontrack/internal/text"

// The kinds of devices.
const (
	Desktop  = "desktop"
	Mobile   = "mobile"
	Tablet   = "tablet"
	Bot      = "bot"
	TV       = "tv"
	Console  = "console"
	Wearable = "wearable"
	Other    = "other"
	Unknown  = "unknown"
)

// The sources of a Result.
const (
	SourceUserAgent   = "user_agent"
	SourceClientHints = "client_hints"
)

// A Result is what a request says about the device that sent it; the root package
// documents the fields at its Device, which has the same ones.
type Result struct {
	Type           string
	Browser        string
	BrowserVersion string
	OS             string
	OSVersion      string
	Brand          string
	Model          string
	Source         string
	Ambiguous      bool
}

// maxAgentBytes is what is looked at and kept of a user agent, in bytes: longer
// ones only cost time (uap-go is linear).
const maxAgentBytes = 512

// Clean cuts an agent to 512 bytes between two characters, before anything else
// looks at it, and removes what is not valid UTF-8 and what would act on a terminal
// or a page without being seen: control (Cc) and format (Cf) characters.
func Clean(s string) string { return text.Visible(s, maxAgentBytes) }
