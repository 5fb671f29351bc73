package useragent

import (
	"strconv"
	"strings"
)

// amend corrects and completes what the expressions made of an agent: names of
// applications that nobody listed, systems that took another's place, models.
func amend(d *Result, userAgent string, found trait) {
	amendBrowser(d, userAgent, found)
	amendSystem(d, userAgent, found)
	amendModel(d, userAgent, found)
}

func amendBrowser(d *Result, userAgent string, found trait) {
	if d.Type == Bot {
		if strings.HasPrefix(d.Browser, "com/") { // a piece of an address
			d.Browser, d.BrowserVersion = botName(userAgent, found)
		}
		return
	}
	if _, rest, ok := strings.Cut(userAgent, " ArkWeb/"); ok && isGenericBrowser(d.Browser) {
		d.Browser, d.BrowserVersion = "ArkWeb", leadingVersion(rest) // it says "Chrome/114" for ever
	}
	if name, version, ok := appName(d.Browser, userAgent); ok {
		d.Browser, d.BrowserVersion = name, version
	}
	if d.Browser == "IE" && strings.Contains(userAgent, "ms-office") { // Outlook and Word, with its engine
		d.Browser, d.BrowserVersion = "Microsoft Office", ""
	}
	if d.Browser == "Apple Mail" || d.Browser == "Sogou Explorer" { // frozen
		d.BrowserVersion = ""
	}
}

// libraries are browsers' names that stand for the application that uses them.
var libraries = setOf(
	"", "okhttp", "CFNetwork", "Mobile Safari UI/WKWebView", "Android", "Dart",
)

// appName names the application that an agent speaks for: what a native one begins
// with, what stands before Chrome's name in Electron's, and what a web view ends in.
func appName(browser, userAgent string) (name, version string, ok bool) {
	switch {
	case browser == "Electron":
		before, _, _ := strings.Cut(userAgent, " Chrome/")
		name, version, ok = product(before[strings.LastIndexByte(before, ' ')+1:])
		return name, version, ok && name[0] >= 'A' && name[0] <= 'Z'
	case browser == "Chrome Mobile WebView", browser == "ArkWeb",
		browser == "Mobile Safari UI/WKWebView" && strings.Contains(userAgent, "AppleWebKit"):
		return product(userAgent[strings.LastIndexByte(userAgent, ' ')+1:])
	case libraries[browser] && !strings.Contains(userAgent, "Mozilla/") && !strings.HasPrefix(userAgent, "Dalvik/"):
		return leadingProduct(userAgent)
	}
	return "", "", false
}

// product splits "FieldReader/3.2". A number of more than six digits is no version.
func product(token string) (name, version string, ok bool) {
	name, rest, slash := strings.Cut(token, "/")
	version = leadingVersion(rest)
	if !slash || !isName(name) || enginesAndSystems[strings.ToLower(name)] || len(major(version)) > 6 {
		return "", "", false
	}
	return appTitle(name), version, true
}

// leadingProduct splits "MyBank/7.2.1 (Linux; …) okhttp/4.12.0" and "Pocket Casts/7.5".
func leadingProduct(userAgent string) (name, version string, ok bool) {
	end := strings.IndexAny(userAgent, "/(;,")
	if end < 0 {
		end = len(userAgent)
	}
	name = strings.TrimSpace(strings.ReplaceAll(userAgent[:end], "%20", " "))
	if at := strings.LastIndexByte(name, ' '); at > 0 && leadingVersion(name[at+1:]) == name[at+1:] {
		name, version = name[:at], name[at+1:] // "Castro 2, …"
	} else if end < len(userAgent) && userAgent[end] == '/' {
		version = leadingVersion(userAgent[end+1:])
	}
	if len(name) > 30 || !isName(name) || strings.Count(name, " ") > 2 || len(major(version)) > 6 ||
		enginesAndSystems[strings.ToLower(name)] || strings.Contains(name, "CFNetwork") {
		return "", "", false
	}
	if _, _, model := marketName(name); model { // "SM-G970F (…) Reader 4.2"
		return "", "", false
	}
	return appTitle(name), version, true
}

// appTitles are names that applications do not give themselves.
var appTitles = map[string]string{
	"com.tinyspeck.chatlyio": "Slack", "discord": "Discord", "Discord-Android": "Discord",
	"Windows-Media-Player": "Windows Media Player", "AppleCoreMedia": "Apple media player",
}

// appTitle makes "mybank" of "com.mybank.app".
func appTitle(name string) string {
	if title, ok := appTitles[name]; ok {
		return title
	}
	if strings.Count(name, ".") < 2 {
		return name
	}
	parts := strings.Split(name, ".")
	for i := len(parts) - 1; i > 0; i-- {
		switch strings.ToLower(parts[i]) {
		case "app", "android", "ios", "mobile", "client", "":
			continue
		}
		return parts[i]
	}
	return name
}

func amendSystem(d *Result, userAgent string, found trait) {
	switch {
	case strings.Contains(userAgent, "OpenHarmony"):
		_, rest, _ := strings.Cut(userAgent, "OpenHarmony")
		d.OS, d.OSVersion = "OpenHarmony", leadingVersion(strings.TrimLeft(rest, " /"))
	case strings.Contains(userAgent, "HarmonyOS"): // its Android is what old applications are shown
		d.OS, d.OSVersion = "HarmonyOS", ""
	case d.Type == Tablet && found&isSamsungX11 != 0 && found&isAndroid == 0:
		d.OS, d.OSVersion = "Android", "" // a tablet that asks for a computer's pages
	case d.Type == Tablet && found&isMac != 0 && (d.OS == "Mac OS X" || d.OS == "iOS" && d.Model != "iPad"):
		d.Browser = mobileSafari(d.Browser)
		d.OS, d.OSVersion, d.Brand, d.Model = "iOS", "", "Apple", "iPad"
	case d.Type != Desktop && d.OS == "Linux" && found&isPuffin != 0:
		d.OS, d.OSVersion = puffinSystem(userAgent), "" // it renders elsewhere, on Linux
	case d.Type != Desktop && d.OS == "Linux" && found&isAndroid != 0 && !strings.Contains(userAgent, "X11"):
		d.OS, d.OSVersion = "Android", ""
	case d.Type == TV && strings.Contains(userAgent, "VIDAA/"):
		_, rest, _ := strings.Cut(userAgent, "VIDAA/")
		d.OS, d.OSVersion = "VIDAA", leadingVersion(rest)
	case d.Type == Other && strings.Contains(userAgent, "Kobo "): // it only says that it is Android
		d.Browser, d.BrowserVersion, d.OS, d.OSVersion = "", "", "", ""
	case d.OS == "Windows" && d.OSVersion == "95" && !strings.Contains(userAgent, "95"):
		d.OSVersion = "" // "Win32"
	case d.OS == "Android":
		d.OSVersion = androidVersion(d.OSVersion)
		if at := strings.Index(userAgent, "Android/"); at > 0 && isWordByte(userAgent[at-1]) {
			d.OSVersion = "" // "MastodonAndroid/1.2.2"
		}
	}
}

// puffinSystem reads the end of Puffin's version: "2.10990AP" is an Android phone.
func puffinSystem(userAgent string) string {
	_, rest, _ := strings.Cut(userAgent, "Puffin/")
	switch rest = strings.TrimLeft(rest, "0123456789."); {
	case strings.HasPrefix(rest, "A"):
		return "Android"
	case strings.HasPrefix(rest, "I"):
		return "iOS"
	}
	return "Linux"
}

// androidVersion makes a version of the numbers of Android's interface (34 is 14), and
// nothing of what can be neither: Android 10 was interface 29.
func androidVersion(version string) string {
	n, err := strconv.Atoi(major(version))
	switch {
	case err != nil || n < 21:
		return version
	case n > 60:
		return ""
	case n >= 33:
		return strconv.Itoa(n - 20)
	case n >= 31:
		return "12"
	case n >= 28:
		return strconv.Itoa(n - 19)
	}
	return [...]string{"5", "5", "6", "7", "7", "8", "8"}[n-21]
}

func amendModel(d *Result, userAgent string, found trait) {
	if d.Model == "Browser" && d.Brand == "Huawei" { // of "HuaweiBrowser"
		d.Brand, d.Model = "", ""
	}
	if d.Type == Bot {
		return
	}
	if d.Type == Console && found&isXbox != 0 && d.Model == "" {
		d.Brand, d.Model = "Microsoft", "Xbox"
		for _, model := range [...]string{"Xbox Series X", "Xbox Series S", "Xbox One"} {
			if strings.Contains(userAgent, model) {
				d.Model = model
			}
		}
	}
	if d.Type == Other && strings.Contains(userAgent, "Tesla/") {
		d.Brand = "Tesla"
	}
	code := codeOf(userAgent)
	if d.Model != "" && (d.Model != "Kindle" || d.Brand != "Amazon") {
		completeModel(d, code)
		return
	}
	if code != "" && !strings.EqualFold(code, d.Brand) {
		d.Model = code
		if maker, _, ok := marketName(code); ok {
			d.Brand = maker
		}
	}
}

// completeModel takes the model from the agent where that says more than the expressions
// caught: "Nokia 7 plus" for Nokia's 7, and codes that have a market name.
func completeModel(d *Result, code string) {
	if _, _, ok := marketName(d.Model); ok || code == "" {
		return
	}
	bare := strings.TrimPrefix(code, d.Brand+" ") // "OnePlus GM1910"
	for _, listed := range [...]string{code, bare} {
		maker, _, ok := marketName(listed)
		if ok && isLetter(listed[0]|0x20) && strings.ContainsAny(d.Model, "0123456789") {
			d.Brand, d.Model = maker, listed
			return
		}
	}
	caught := d.Brand + " " + d.Model
	if len(code) > len(caught) && code[len(caught)] == ' ' && strings.EqualFold(code[:len(caught)], caught) {
		d.Model = code[len(d.Brand)+1:]
	}
}

// codeOf finds the model's code where Android's agents have it, or the applications'
// "(Android 14; SM-A546B)" and "Android/34 (SM-S918B)"; "" where it is no code.
func codeOf(userAgent string) string {
	var buf [maxAgentBytes]byte
	s := lowerASCII(buf[:], userAgent)
	from, to := androidModel(s)
	if from == to {
		_, rest, ok := strings.Cut(userAgent, "Android/")
		_, rest, open := strings.Cut(rest, " (")
		code, _, closed := strings.Cut(rest, ")")
		if !ok || !open || !closed || strings.ContainsAny(code, ";,:/") || len(code) > maxModelKey {
			return ""
		}
		if _, _, known := marketName(code); !known {
			return ""
		}
		return code
	}
	code := userAgent[from:to]
	if _, _, known := marketName(code); known {
		return code
	}
	if len(code) < 2 || len(code) > maxModelKey || !strings.ContainsAny(code, "0123456789") ||
		strings.ContainsAny(code, "\"<>=;:") || strings.Contains(code, "Android") {
		return ""
	}
	return code
}
