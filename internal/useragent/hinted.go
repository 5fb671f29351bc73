package useragent

import (
	"strconv"
	"strings"
)

// applyHints overlays what the client said on purpose over what its user agent
// seemed to say.
func (f *families) applyHints(d *Result, found trait, hints string) {
	if hints == "" || d.Type == Bot {
		return
	}
	before := *d
	f.hintSystem(d, hints)
	f.hintModel(d, hints)
	hintBrowser(d, hints)
	if found&isMac != 0 && touchPoints(hints) > 1 {
		*d = Result{
			Type: Tablet, Browser: mobileSafari(d.Browser), BrowserVersion: d.BrowserVersion,
			OS: "iOS", Brand: "Apple", Model: "iPad",
		}
	}
	touched := found&isMac != 0 && touchPoints(hints) >= 0
	if d.Source = SourceUserAgent; *d != before || touched || decide(found) != d.Type {
		d.Source = SourceClientHints
	}
}

func mobileSafari(browser string) string {
	if browser == "Safari" {
		return "Mobile Safari"
	}
	return browser
}

// hintedSystems are the values of Sec-CH-UA-Platform, with uap-core's names.
var hintedSystems = map[string]string{
	"Android": "Android", "Windows": "Windows", "macOS": "Mac OS X", "Chrome OS": "Chrome OS",
	"Chromium OS": "Chrome OS", "Linux": "Linux", "iOS": "iOS", "Fuchsia": "Fuchsia",
}

func (f *families) hintSystem(d *Result, hints string) {
	platform, _ := hintOf(hints, 'p')
	name, ok := hintedSystems[platform]
	if !ok || name == "Linux" && d.OS != "" && d.OS != "Android" || d.OS == "iOS" {
		return // "Linux" knows less than "Ubuntu", and iPhones send no hints
	}
	if name == "Linux" && d.OS == "Android" {
		return // a web view that asks for a desktop's page
	}
	if d.OS != name {
		d.OS, d.OSVersion = name, ""
	}
	if version, _ := hintOf(hints, 'v'); version != "" {
		d.OSVersion = hintedVersion(name, version, d.OSVersion)
	}
}

// hintedVersion reads Sec-CH-UA-Platform-Version. Windows counts on its own:
// 0.1 is 7, 0.2 is 8, 0.3 is 8.1, 1 to 10 are Windows 10, from 13 on it is 11
// (https://learn.microsoft.com/microsoft-edge/web-platform/how-to-detect-win11).
func hintedVersion(system, version, byAgent string) string {
	if system == "Linux" || leadingVersion(version) != version {
		return byAgent
	}
	if system != "Windows" {
		return strings.TrimSuffix(strings.TrimSuffix(version, ".0"), ".0")
	}
	major, err := strconv.Atoi(major(version))
	switch {
	case err != nil, major == 0:
		return byAgent
	case major >= 13:
		return "11"
	}
	return "10"
}

// hintModel takes the model's name, and asks uap-core whose it is.
func (f *families) hintModel(d *Result, hints string) {
	model, _ := hintOf(hints, 'd')
	if model == "" || model == "K" || d.OS != "Android" {
		return
	}
	_, _, device := f.ask("Mozilla/5.0 (Linux; Android 10; " + model +
		") AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0.0.0 Mobile Safari/537.36")
	brand, known := trueModel(device.Brand, device.Model)
	if known == "" {
		known = model
	}
	d.Brand, d.Model = brand, known
}

// hintedBrowsers are brands in Sec-CH-UA that a frozen agent does not name.
var hintedBrowsers = []struct{ brand, name string }{
	{"Brave/", "Brave"}, {"Microsoft Edge/", "Edge"}, {"Opera GX/", "Opera GX"}, {"Opera/", "Opera"},
	{"Samsung Internet/", "Samsung Internet"},
	{"YaBrowser/", "Yandex Browser"}, {"Vivaldi/", "Vivaldi"}, {"DuckDuckGo/", "DuckDuckGo"},
	{"HuaweiBrowser/", "Huawei Browser"}, {"Whale/", "Whale"},
}

// hintBrowser names the browsers that pose as Chrome.
func hintBrowser(d *Result, hints string) {
	brands, _ := hintOf(hints, 'b')
	if brands == "" || !isGenericBrowser(d.Browser) || d.Browser == "Edge" {
		return
	}
	for _, known := range hintedBrowsers {
		if at := strings.Index(brands, known.brand); at == 0 || at > 0 && brands[at-1] == ',' {
			d.Browser, d.BrowserVersion = known.name, leadingVersion(brands[at+len(known.brand):])
			return
		}
	}
	if d.Browser == "" && strings.Contains(brands, "Chrom") {
		at := strings.LastIndexByte(brands, '/')
		d.Browser, d.BrowserVersion = "Chrome", leadingVersion(brands[at+1:])
	}
}
