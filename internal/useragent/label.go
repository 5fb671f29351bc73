package useragent

import (
	"strconv"
	"strings"
)

// Label returns a label for people, such as
// "Chrome 131 on Android 14 (Samsung Galaxy S23)". What is unknown is left
// out; where nothing is known it says what kind of device it is.
func (d Result) Label() string {
	return d.label(d.BrowserLabel(), d.SystemLabel())
}

// Family returns the label without versions: it stays the same through
// updates of browser and system, so that a new Family is a new device.
func (d Result) Family() string { return d.label(ReadableBrowser(d.Browser), d.systemName()) }

// BrowserLabel is the browser's name for people, with its major version where that is
// one that people see: not 0, nor the number of a build, nor Safari's engine's. An
// application that shows a page and does not say its name is "App".
func (d Result) BrowserLabel() string {
	name, version := ReadableBrowser(d.Browser), major(d.BrowserVersion)
	if webViews[d.Browser] && (name != "Chrome" || len(version) > 1 && version >= "40" || len(version) > 2) {
		return "App" // before Chrome 40 phones' own browsers sent the same
	}
	if version == "0" || len(version) > 4 || len(version) > 2 && name == "Safari" {
		version = ""
	}
	return join(name, version)
}

// webViews are the parts of systems with which applications show pages. Family calls
// them by their browser, so that an application's window is no new device.
var webViews = setOf("Chrome Mobile WebView", "Mobile Safari UI/WKWebView", "Electron", "ArkWeb")

// SystemLabel is the system's name for people, with its version.
func (d Result) SystemLabel() string { return join(d.systemName(), d.systemVersion()) }

// systemName tells iPads' system from iPhones', as Apple does since 2019.
func (d Result) systemName() string {
	if d.OS == "iOS" && (d.Type == Tablet || strings.HasPrefix(d.Model, "iPad")) {
		if n, err := strconv.Atoi(major(d.OSVersion)); err != nil || n >= 13 {
			return "iPadOS"
		}
	}
	return Readable(d.OS)
}

func (d Result) label(browser, system string) string {
	model := d.ModelName()
	switch {
	case d.Type == Bot:
		if browser != "" && !saysBot(d.Browser) {
			browser += " (automated)" // who knows that "axios" is a program?
		}
		system, model = "", ""
	case d.Type == Console && model != "": // its system has no name of its own
		system, model = model, ""
		if d.Browser == "Safari" || d.Browser == "Netfront NX" || d.Browser == "NintendoBrowser" {
			browser = ""
		}
	}
	system, model = d.appliance(system, model)
	if d.hidesBrowser(model) {
		browser = ""
	}
	text := browser
	if system != "" {
		if text != "" {
			text += " on "
		}
		text += system
	}
	switch {
	case text == "" && model == "":
		return unnamed[d.Type]
	case text == "":
		return model
	case model != "":
		text += " (" + model + ")"
	}
	return text
}

// appliance says what a device is where its system and its model tell nobody: that Linux
// runs a television, and that "65C735" is one.
func (d Result) appliance(system, model string) (newSystem, newModel string) {
	var buf [maxModelKey]byte
	linux := d.OS == "" || d.OS == "Linux"
	switch {
	case d.Type == TV && linux && model != "Roku" && !strings.Contains(model, "TV"):
		system = "TV"
	case d.Type == TV && !linux && d.Brand == "" && namesInches(lowerASCII(buf[:], model)):
		model = "TV " + model
	case d.OS == "Linux" && model != "" && d.Type != Desktop,
		d.Type == Other && d.OS != "" && strings.Contains(model, d.OS): // "Amazon Kindle 3.0"
		system = ""
	}
	if model == d.systemName() {
		model = "" // Roku's system and its boxes have one name
	}
	return system, model
}

// hidesBrowser tells browsers that have no name of their own: Android's before Chrome,
// televisions' standard, KaiOS's, and those named after the device.
func (d Result) hidesBrowser(model string) bool {
	name := Readable(d.Browser)
	switch {
	case d.Browser == d.OS, name == "HbbTV", d.OS == "KaiOS" && name == "Firefox":
		return true
	case name == "" || model == "":
		return false
	}
	return strings.EqualFold(name, model) || strings.EqualFold(d.BrowserLabel(), model) ||
		d.Type == Other && strings.Contains(model, name)
}

// saysBot tells names in which people read that it is a robot.
func saysBot(name string) bool {
	name = strings.ToLower(name)
	return strings.Contains(name, "bot") || strings.Contains(name, "crawl") || strings.Contains(name, "spider")
}

// unnamed are the labels of devices of which only the type is known.
var unnamed = map[string]string{
	Desktop: "Computer", Mobile: "Phone", Tablet: "Tablet", Bot: "Automated client", TV: "TV", Console: "Game console",
	Wearable: "Wearable", Other: "Other device", Unknown: "Unknown device", "": "Unknown device",
}

// ReadableNames are uap-core's names that people do not use. Variants of one
// browser share a name, so that an app's web view, say, is no new device.
var readableNames = map[string]string{
	"Chrome Mobile": "Chrome", "Chrome Mobile iOS": "Chrome", "Chrome Mobile WebView": "Chrome",
	"HeadlessChrome": "Headless Chrome",
	"Mobile Safari":  "Safari", "Mobile Safari UI/WKWebView": "Safari", "Firefox Mobile": "Firefox",
	"Firefox iOS": "Firefox",
	"Edge Mobile": "Edge", "Opera Mobile": "Opera", "IE": "Internet Explorer", "IE Mobile": "Internet Explorer",
	"Android":  "Android",
	"Mac OS X": "macOS", "Chrome OS": "ChromeOS", "WatchOS": "watchOS", "ATV OS X": "tvOS",
	"Chromecast Fuchsia": "Fuchsia", "Web0S": "webOS",
	"NSPlayer": "Windows Media Player", "foobar": "foobar2000", "Podcasts": "Apple Podcasts",
	"PodcastAddict": "Podcast Addict", "WeChat Browser": "WeChat",
}

// Readable is the name that people know a browser or a system by.
func Readable(name string) string {
	if better, ok := readableNames[name]; ok {
		return better
	}
	return name
}

// ReadableBrowser is Readable for a browser: without the system that it is made for, and
// with a space in "OnePlusBrowser".
func ReadableBrowser(name string) string {
	better := Readable(name)
	if better != name {
		return better
	}
	for _, system := range [...]string{" Android", " iOS", " Mobile"} {
		name = strings.TrimSuffix(name, system)
	}
	if rest, ok := strings.CutSuffix(name, "Browser"); ok && len(rest) > 2 && isLetter(rest[len(rest)-1]|0x20) {
		return rest + " Browser"
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
	if d.OS == "Chrome OS" && len(major) > 3 || d.OS == "Chromecast Fuchsia" {
		return "" // the platform's build or the receiver's version, which nobody sees
	}
	if d.OS == "Mac OS X" && major == "10" || d.OS == "Windows" && major == "8" {
		minor, _, _ := strings.Cut(rest, ".")
		if minor != "" && minor != "0" {
			return major + "." + minor
		}
	}
	return major
}

// readableModels are uap-core's words for models that people do not use; readableMakers
// the same for makers.
var (
	readableModels = map[string]string{
		"Mac": "", "iOS-Device": "", "AppleTV": "Apple TV", "Web0S SmartTV": "TV", "webOS SmartTV": "TV",
		"SMART-TV": "Smart TV", "Smart-TV": "Smart TV", "SmartTV": "Smart TV", "Mobile": "",
	}
	readableMakers = map[string]string{"XiaoMi": "Xiaomi", "Asus": "ASUS"}
)

// ModelName is the model's name for people, with its maker's unless that says the same
// twice: "Samsung Galaxy S23 Ultra" for SM-S918B. A code that nobody named stays a code.
func (d Result) ModelName() string {
	maker, model := d.Brand, d.Model
	if better, ok := readableModels[model]; ok {
		model = better
	}
	if known, name, ok := marketName(d.Model); ok {
		maker, model = known, name
	}
	if better, ok := readableMakers[maker]; ok {
		maker = better
	}
	model = strings.ReplaceAll(model, "_", " ")
	switch {
	case maker == "Motorola" && len(model) > 1 && model[1] == ' ':
		model = "Moto " + model // uap-core takes "Moto" for the maker
	case maker == "Apple" && strings.Contains(model, ","): // an identifier newer than the table
		model = appleKind(model)
	}
	switch {
	case maker == "Apple", strings.HasPrefix(model, "PlayStation"), strings.HasPrefix(model, "Xbox"),
		strings.HasPrefix(strings.ToLower(model), strings.ToLower(maker)):
		return model
	case model == "":
		return maker
	}
	return maker + " " + model
}

// appleKind makes "MacBook Pro" of "MacBookPro18,1", and "iPhone" of "iPhone99,1".
func appleKind(identifier string) string {
	name := strings.TrimRight(identifier, "0123456789,")
	if rest, ok := strings.CutPrefix(name, "MacBook"); ok && rest != "" {
		return "MacBook " + rest
	}
	return name
}
