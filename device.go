package sessiontrack

import (
	"net/http"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A DeviceType is the kind of thing that sent a request.
type DeviceType string

// The kinds of devices, as they are stored, listed and filtered by.
const (
	DeviceDesktop  DeviceType = "desktop"  // computers, laptops and Chromebooks
	DeviceMobile   DeviceType = "mobile"   // phones, smart or not, and music players with a phone's system
	DeviceTablet   DeviceType = "tablet"   // tablets, with and without a keyboard
	DeviceBot      DeviceType = "bot"      // crawlers, checkers, HTTP libraries and command-line clients
	DeviceTV       DeviceType = "tv"       // televisions, set-top boxes and sticks
	DeviceConsole  DeviceType = "console"  // game consoles, also those one holds in hand
	DeviceWearable DeviceType = "wearable" // watches, glasses and headsets
	DeviceOther    DeviceType = "other"    // e-readers, cars, printers, speakers, signs …
	DeviceUnknown  DeviceType = "unknown"  // nothing that could be told, or nothing said
)

// A DeviceSource says where the facts of a Device come from.
type DeviceSource string

// Sources of a Device. Both are what the client says of itself, and neither is
// proof; but a client hint is said on purpose, where a user agent is guessed from.
const (
	SourceUserAgent   DeviceSource = "user_agent"   // guessed from the User-Agent header
	SourceClientHints DeviceSource = "client_hints" // a hint decided at least one of the facts
)

// A Device is what a request says about the thing that sent it. What is not
// known, or known to be frozen and so untrue (macOS 10.15.7, Android "10; K"),
// is blank. Names are uap-core's ("Chrome Mobile", "Mac OS X"); String makes
// them readable. Devices can be compared with ==.
type Device struct {
	Type           DeviceType   `json:"type"`
	Browser        string       `json:"browser,omitempty"` // of a bot its name
	BrowserVersion string       `json:"browserVersion,omitempty"`
	OS             string       `json:"os,omitempty"`
	OSVersion      string       `json:"osVersion,omitempty"`
	Brand          string       `json:"brand,omitempty"`
	Model          string       `json:"model,omitempty"`
	Source         DeviceSource `json:"source,omitempty"`
	// Ambiguous says that Type may well be wrong: Safari on a Mac may be an
	// iPad in desktop mode, whose user agent is the same byte for byte.
	// The header X-Max-Touch-Points, sent by the application's script
	// (navigator.maxTouchPoints), decides it.
	Ambiguous bool `json:"ambiguous,omitempty"`
}

// ClassifyDevice says what device sent a request with these headers, from its
// user agent, its client hints and X-Max-Touch-Points. It is for tools and
// tests: the first call compiles 1,200 expressions, about 0.1 s. A Tracker
// does that in the background, and tells the type at once without them.
func ClassifyDevice(h http.Header) Device {
	return defaultClassifier().Classify(h)
}

// DeviceTypeOf says what kind of device sent a request with these headers: the
// Type that ClassifyDevice gives, in microseconds and without any definitions,
// for handlers that serve different pages and for tools that need no names.
func DeviceTypeOf(h http.Header) DeviceType {
	return deviceType(cleanUserAgent(h.Get("User-Agent")), deviceHints(h))
}

var defaultClassifier = sync.OnceValue(func() *Classifier {
	c, _ := NewClassifier(nil) // fails for definitions only
	return c
})

// maxAgentBytes is what is looked at and kept of a user agent, in bytes: longer
// ones only cost time (uap-go is linear).
const maxAgentBytes = 512

// cleanUserAgent cuts s to maxAgentBytes bytes at a rune's border, before
// anything else looks at it, and removes what is not valid UTF-8 and what
// would act on a terminal or a page without being seen: control (Cc) and
// format (Cf) runes.
func cleanUserAgent(s string) string { return cutText(s, maxAgentBytes) }

func cutText(s string, limit int) string {
	if len(s) > limit {
		cut := limit
		for cut > limit-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = strings.Clone(s[:cut]) // do not keep the rest alive
	}
	if isPlainASCII(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, s)
}

func isPlainASCII(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}
