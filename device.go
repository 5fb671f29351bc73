package sessiontrack

import (
	"context"
	"net/http"
	"slices"
	"sync"

	"github.com/sessiontrack/sessiontrack/internal/useragent"
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

// result is d as package useragent has it.
func (d Device) result() useragent.Result {
	return useragent.Result{
		Type: string(d.Type), Browser: d.Browser, BrowserVersion: d.BrowserVersion, OS: d.OS, OSVersion: d.OSVersion,
		Brand: d.Brand, Model: d.Model, Source: string(d.Source), Ambiguous: d.Ambiguous,
	}
}

func deviceOf(r useragent.Result) Device {
	return Device{
		Type: DeviceType(r.Type), Browser: r.Browser, BrowserVersion: r.BrowserVersion, OS: r.OS, OSVersion: r.OSVersion,
		Brand: r.Brand, Model: r.Model, Source: DeviceSource(r.Source), Ambiguous: r.Ambiguous,
	}
}

// String returns a label for people, such as
// "Chrome 131 on Android 14 (Samsung Galaxy S23)". What is unknown is left
// out; where nothing is known it says what kind of device it is.
func (d Device) String() string { return d.result().Label() }

// Family returns the label without versions: it stays the same through
// updates of browser and system, so that a new Family is a new device.
func (d Device) Family() string { return d.result().Family() }

// ClassifyDevice says what device sent a request with these headers, from its
// user agent, its client hints and X-Max-Touch-Points. It is for tools and
// tests: the first call compiles 1,200 expressions, about 0.1 s. A Tracker
// does that in the background, and tells the type at once without them.
func ClassifyDevice(h http.Header) Device {
	return defaultClassifier().Classify(h)
}

var defaultClassifier = sync.OnceValue(func() *Classifier { return new(Classifier) })

// A Classifier names browsers, systems and models by uap-core's definitions and our
// own tables. Hosts make one to bring newer definitions than the embedded ones, and
// to replace them without a restart. It may be used concurrently. Its zero value goes
// by the embedded definitions.
type Classifier struct{ engine useragent.Classifier }

// NewClassifier returns a Classifier by the given definitions, the text of
// uap-core's regexes.yaml; nil stands for those embedded in uap-go, which are
// compiled when first needed (0.1 s, 12 MB). Definitions that cannot be
// compiled are an error.
func NewClassifier(definitions []byte) (*Classifier, error) {
	c := new(Classifier)
	if definitions == nil {
		return c, nil
	}
	if err := c.Reload(definitions); err != nil {
		return nil, err
	}
	return c, nil
}

// Reload puts other definitions in place while the Classifier is in use; nil
// goes back to the embedded ones. On an error the former stay.
func (c *Classifier) Reload(definitions []byte) error { return c.engine.Reload(definitions) }

// Classify says what device sent a request with these headers. The first call
// may wait for the definitions to be compiled.
func (c *Classifier) Classify(h http.Header) Device {
	return c.describe(useragent.Clean(h.Get("User-Agent")), useragent.Hints(h))
}

// warm compiles the definitions unless that is done.
func (c *Classifier) warm(ctx context.Context) { c.engine.Warm(ctx) }

// describe returns the whole Device for a cleaned user agent and serialised hints.
func (c *Classifier) describe(agent, hints string) Device {
	return deviceOf(c.engine.Describe(agent, hints))
}

// known returns the Device of an agent that was described before. It does not wait.
func (c *Classifier) known(agent, hints string) (Device, bool) {
	found, ok := c.engine.Known(agent, hints)
	return deviceOf(found), ok
}

// AcceptClientHints asks browsers, by the response header Accept-CH (RFC 8942),
// for the client hints that tell a device's model, Windows 11 and the true
// version of Android. They come with the requests after the first, over HTTPS
// only, from Chromium only. Put it in front of the pages that people sign in
// from. It sets no Critical-CH, which would cost each visitor a second request.
func AcceptClientHints(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Add("Accept-CH", useragent.AcceptedHints)
		next.ServeHTTP(w, r)
	})
}

// deviceTypes are in the order of the counts that are stored: it never changes.
var deviceTypes = [...]DeviceType{
	DeviceDesktop, DeviceMobile, DeviceTablet, DeviceBot, DeviceTV, DeviceConsole,
	DeviceWearable, DeviceOther, DeviceUnknown,
}

// DeviceCounts are numbers by device type, in the order desktop, mobile, tablet, bot,
// tv, console, wearable, other, unknown.
type DeviceCounts [9]int

// Of returns the number of a type.
func (c *DeviceCounts) Of(t DeviceType) int { return c[deviceIndex(t)] }

// Add adds to the number of a type: [DeviceUnknown] for none, [DeviceOther] for one
// that is not this package's.
func (c *DeviceCounts) Add(t DeviceType, n int) { c[deviceIndex(t)] += n }

func deviceIndex(t DeviceType) int {
	if t == "" {
		t = DeviceUnknown
	}
	if i := slices.Index(deviceTypes[:], t); i >= 0 {
		return i
	}
	return slices.Index(deviceTypes[:], DeviceOther)
}
