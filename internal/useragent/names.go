package useragent

import (
	"strings"

	"github.com/ua-parser/uap-go/uaparser"
)

// describe puts together what uap-core's expressions, our own names and the
// hints say.
func (f *families) describe(userAgent, hints string) Result {
	var buf [maxAgentBytes]byte
	found := traits(lowerASCII(buf[:], userAgent))
	d := Result{
		Type: typeByHints(decide(found), found, hints), Source: SourceUserAgent,
		Ambiguous: isAmbiguous(userAgent, found, hints),
	}
	if userAgent != "" {
		f.name(&d, userAgent, found)
	}
	f.applyHints(&d, found, hints)
	return d
}

// name fills in what the user agent alone says.
func (f *families) name(d *Result, userAgent string, found trait) {
	agent, system, device := f.ask(userAgent)
	d.Browser, d.BrowserVersion = agent.Family, browserVersion(agent)
	if name, version, ok := ownName(userAgent, agent.Family); ok {
		d.Browser, d.BrowserVersion = name, version
	}
	if d.Type == Bot && isGenericBrowser(d.Browser) {
		if name, version := botName(userAgent, found); name != "" {
			d.Browser, d.BrowserVersion = name, version
		}
	}
	d.OS, d.OSVersion = system.Family, system.ToVersionString()
	if own := ownSystem(userAgent, d.OS); own != "" {
		d.OS, d.OSVersion = own, ""
	}
	d.OSVersion = trueSystemVersion(d.OS, d.OSVersion, userAgent, agent)
	d.Brand, d.Model = trueModel(device.Brand, device.Model)
	amend(d, userAgent, found)
}

// browserVersion joins the parts, without the zeros that Chromium freezes.
func browserVersion(agent uaparser.UserAgent) string {
	if agent.Minor == "0" && (agent.Patch == "0" || agent.Patch == "") {
		return agent.Major
	}
	return agent.ToVersionString()
}

// genericBrowsers are the families that uap-core gives to browsers it does not
// know by their engine's name.
var genericBrowsers = setOf(
	"", "Chrome", "Chrome Mobile", "Chrome Mobile WebView", "Mobile Safari", "Mobile Safari UI/WKWebView",
	"Safari", "Firefox", "Firefox Mobile", "Android", "Edge", "Apple Mail", "Electron",
	"QQ Browser Mobile", "Crosswalk", // engines of applications too
)

func setOf(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

func isGenericBrowser(name string) bool { return genericBrowsers[name] }

// ownNames are browsers and apps that the embedded definitions do not know
// yet, by the product token that names them; the first that occurs wins. They
// count only where uap-core gives a generic name, so that newer definitions win.
var ownNames = []struct{ token, name string }{
	{"OculusBrowser/", "Oculus Browser"}, {"HeyTapBrowser/", "HeyTap Browser"}, {"HonorBrowser/", "Honor Browser"},
	{"VivoBrowser/", "VivoBrowser"},
	{"HIBrowser/", "HiBrowser"}, {"HiBrowser/", "HiBrowser"}, {"SLBrowser/", "Smart Lenovo Browser"},
	{"SberBrowser/", "Sber Browser"},
	{"115Browser/", "115 Browser"}, {"UCBrowser/", "UC Browser"}, {"UCMobile/", "UC Browser"},
	{"bdhonorbrowser/", "Honor Browser"}, {"R2Client/", "R2Client"}, {"QuarkPC/", "Quark PC"}, {"Quark/", "Quark"},
	{"Mypal/", "Mypal Browser"},
	{"OPX/", "Opera GX"}, {"OPT/", "Opera Touch"}, {"Telegram-Android/", "Telegram"}, {"KAKAOTALK/", "KakaoTalk"},
	{"KAKAOTALK", "KakaoTalk"},
	{"wxwork/", "WeChat Browser"}, {"MicroMessenger/", "WeChat Browser"}, {"WeiboIntl", "Weibo"},
	{"Weibolite", "Weibo"}, {"Weibo (", "Weibo"},
	{"__weibo__", "Weibo"}, {"musical_ly", "TikTok"}, {"BytedanceWebview", "TikTok"}, {"trill_", "TikTok"},
	{"Instagram ", "Instagram"}, {"baiduboxapp/", "Baidu Explorer"},
	{"PHX/", "Phoenix Browser"}, {"ABB/", "Aloha Browser"}, {"Brave", "Brave"}, {"Avira/", "Avira"},
	{"CCleaner/", "CCleaner"}, {"Norton/", "Norton"},
	{"Atom/", "Atom Browser"}, {"QIHU 360", "360 Secure Browser"}, {"Hola/", "Hola Browser"},
	{"AOLShield/", "AOL Shield Browser"}, {"ADG/", "AOL Desktop Gold Browser"},
	{"JiSu/", "JiSu Browser"}, {"Wolvic/", "Wolvic Browser"}, {"Slack/", "Slack"}, {"Slack_SSB/", "Slack"},
	{"discord/", "Discord"}, {"Discord/", "Discord"}, {"Discord-Android/", "Discord"},
	{"Teams/", "Microsoft Teams"}, {"AdobeCEP/", "Adobe CEP"}, {"OBS/", "OBS Studio"},
	{"CitizenFX/", "CitizenFX"}, {"Valve Steam GameOverlay/", "Steam GameOverlay"},
	{"Valve Steam Gamepad/Steam Deck", "Steam Deck"},
	{"Valve Steam Client/", "Steam Client"}, {"Valve Client/", "Steam Client"}, {"ROBLOX", "Roblox App"},
	{"QtWebEngine/", "Qt Web Engine"},
	{"OpenWave/", "Open Wave"}, {"Trailer/", "Trailer"}, {"Agency/", "Agency"}, {"Herring/", "Herring"},
	{"AtContent/", "AtContent"}, {"Config/", "Config"},
	{"Viewer/", "Viewer"}, {"LikeWise/", "LikeWise"}, {"Unique/", "Unique"},
	{"CravingExplorer/", "Craving Explorer Browser"}, {"Chromium GOST", "Chromium GOST Browser"},
	{"Odin/", "Odin"}, {"OMI/", "Vewd Browser"}, {"RuxitSynthetic/", "Ruxit Synthetic"},
	{"Google-InspectionTool", "Google-InspectionTool"},
	{"Ladybird/", "Ladybird"}, {"Camoufox ", "Camoufox"}, {"AncestryAndroid/", "AncestryAndroid"},
	{"Chesscom-Android/", "Chesscom-Android"}, {"Roadrunner/", "Roadrunner"},
	{"NAVER(", "NAVER"}, {"DingTalk/", "DingTalk"},
}

// ownName looks for a name of ours where uap-core has only a generic one.
func ownName(userAgent, family string) (name, version string, ok bool) {
	if !isGenericBrowser(family) {
		return "", "", false
	}
	for _, own := range ownNames {
		at := strings.Index(userAgent, own.token)
		if at < 0 || at > 0 && isWordByte(userAgent[at-1]) && own.token[0] != '_' {
			continue
		}
		return own.name, leadingVersion(userAgent[at+len(own.token):]), true
	}
	if family == "QQ Browser Mobile" {
		return "", "", false
	}
	return namedBrowser(userAgent)
}

// namedBrowser finds the product that calls itself a browser: "PureBrowser/60.9".
func namedBrowser(userAgent string) (name, version string, ok bool) {
	const word = "Browser/"
	at := strings.Index(userAgent, word)
	if at < 0 {
		return "", "", false
	}
	start := at
	for start > 0 && isWordByte(userAgent[start-1]) {
		start--
	}
	if at-start < 2 || !isLetter(userAgent[start]|0x20) {
		return "", "", false
	}
	version = leadingVersion(userAgent[at+len(word):])
	return userAgent[start : at+len(word)-1], version, len(major(version)) <= 6
}

func isWordByte(c byte) bool { return isAlnum(c|0x20) || c == '_' }

// leadingVersion returns the digits and dots that s begins with.
func leadingVersion(s string) string {
	s = strings.TrimPrefix(s, "v")
	end := 0
	for end < len(s) && (isDigit(s[end]) || s[end] == '.') {
		end++
	}
	return strings.Trim(s[:end], ".")
}

// ownSystem names the few systems that the embedded definitions miss or mistake.
func ownSystem(userAgent, family string) string {
	switch {
	case strings.HasPrefix(userAgent, "Roku") && family == "Mac OS X":
		return "Roku"
	case family != "":
		return ""
	case strings.Contains(userAgent, "os/macos"):
		return "Mac OS X"
	case strings.Contains(userAgent, "(Fuchsia"):
		return "Fuchsia"
	}
	return ""
}

// trueSystemVersion drops or corrects the versions that browsers have frozen.
func trueSystemVersion(system, version, userAgent string, agent uaparser.UserAgent) string {
	switch system {
	case "Mac OS X":
		if version == "10.15.7" || version == "10.15" || version == "10.16" {
			return ""
		}
	case "Windows":
		if version == "10" { // 10 or 11, as only a client hint can tell
			return ""
		}
	case "Android":
		newFirefox := agent.Family == "Firefox Mobile" && len(agent.Major) > 2
		if version == "10" && (newFirefox || strings.Contains(userAgent, "Android 10; K)")) {
			return "" // Chrome and Firefox say 10 on whatever is newer
		}
	case "Chrome OS":
		if strings.HasPrefix(version, "14541.0") {
			return ""
		}
	case "iOS":
		return trueIOSVersion(version, userAgent)
	}
	return version
}

// trueIOSVersion takes Safari's own version where iOS stays behind: since
// iOS 26 agents say "OS 18_6" or "18_7" for ever.
func trueIOSVersion(version, userAgent string) string {
	if version != "18.6" && version != "18.7" {
		return version
	}
	_, rest, ok := strings.Cut(userAgent, " Version/")
	if !ok {
		return "" // an app's web view: iOS 18 or later
	}
	safari := leadingVersion(rest)
	if len(major(safari)) == 2 && major(safari) >= "26" {
		return safari
	}
	return version
}

// trueModel drops the placeholders that uap-core gives for want of a brand.
func trueModel(brand, model string) (string, string) {
	switch {
	case brand == "Spider", brand == "Generic":
		return "", ""
	case strings.HasPrefix(brand, "Generic_"):
		brand = ""
	}
	if model == "K" {
		model = ""
	}
	return brand, model
}
