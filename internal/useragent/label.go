package useragent

import "strings"

// Label returns a label for people, such as
// "Chrome 131 on Android 14 (Samsung Galaxy S23)". What is unknown is left
// out; where nothing is known it says what kind of device it is.
func (d Result) Label() string {
	return d.label(d.BrowserLabel(), d.SystemLabel())
}

// Family returns the label without versions: it stays the same through
// updates of browser and system, so that a new Family is a new device.
func (d Result) Family() string { return d.label(Readable(d.Browser), Readable(d.OS)) }

// BrowserLabel is the browser's name for people, with its major version.
func (d Result) BrowserLabel() string { return join(Readable(d.Browser), major(d.BrowserVersion)) }

// SystemLabel is the system's name for people, with its version.
func (d Result) SystemLabel() string { return join(Readable(d.OS), d.systemVersion()) }

func (d Result) label(browser, system string) string {
	var b strings.Builder
	b.WriteString(browser)
	if system != "" && d.Type != Bot {
		if b.Len() > 0 {
			b.WriteString(" on ")
		}
		b.WriteString(system)
	}
	if model := d.ModelName(); model != "" && d.Type != Bot {
		if b.Len() == 0 {
			return model
		}
		b.WriteString(" (" + model + ")")
	}
	if b.Len() == 0 {
		return unnamed[d.Type]
	}
	return b.String()
}

// unnamed are the labels of devices of which only the type is known.
var unnamed = map[string]string{
	Desktop: "Computer", Mobile: "Phone", Tablet: "Tablet", Bot: "Bot", TV: "TV", Console: "Game console",
	Wearable: "Wearable", Other: "Other device", Unknown: "Unknown device", "": "Unknown device",
}

// ReadableNames are uap-core's names that people do not use. Variants of one
// browser share a name, so that an app's web view, say, is no new device.
var readableNames = map[string]string{
	"Chrome Mobile": "Chrome", "Chrome Mobile iOS": "Chrome", "Chrome Mobile WebView": "Chrome", "HeadlessChrome": "Headless Chrome",
	"Mobile Safari": "Safari", "Mobile Safari UI/WKWebView": "Safari", "Firefox Mobile": "Firefox", "Firefox iOS": "Firefox",
	"Edge Mobile": "Edge", "Opera Mobile": "Opera", "IE": "Internet Explorer", "IE Mobile": "Internet Explorer", "Android": "Android",
	"Mac OS X": "macOS", "Chrome OS": "ChromeOS", "WatchOS": "watchOS", "ATV OS X": "tvOS",
}

// Readable is the name that people know a browser or a system by.
func Readable(name string) string {
	if better, ok := readableNames[name]; ok {
		return better
	}
	return name
}

func join(name, version string) string {
	if name == "" || version == "" {
		return name
	}
	return name + " " + version
}

// major returns "131" of "131.0.6778".
func major(version string) string {
	major, _, _ := strings.Cut(version, ".")
	return major
}

// systemVersion is the version's first part, but two where the first tells
// nothing ("10.14" of macOS, "8.1" of Windows).
func (d Result) systemVersion() string {
	major, rest, _ := strings.Cut(d.OSVersion, ".")
	if d.OS == "Mac OS X" && major == "10" || d.OS == "Windows" && major == "8" {
		minor, _, _ := strings.Cut(rest, ".")
		if minor != "" && minor != "0" {
			return major + "." + minor
		}
	}
	return major
}

// ModelName joins brand and model unless that says the same twice, or what the
// system's name says already.
func (d Result) ModelName() string {
	switch {
	case d.Brand == "Apple" && d.Model == "Mac":
		return ""
	case d.Brand == "Apple" && d.Model != "", strings.HasPrefix(strings.ToLower(d.Model), strings.ToLower(d.Brand)):
		return d.Model
	case d.Model == "":
		return d.Brand
	}
	return d.Brand + " " + d.Model
}
