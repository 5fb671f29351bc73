package useragent

import (
	"bytes"
	"strings"
)

// A typeRule is one line of typeRules: it decides when the agent shows one of
// any (zero: no such demand), all of all and none of none.
type typeRule struct {
	is             string
	any, all, none trait
}

// isHeld is what names a system or a model of a device that people hold, or an
// application for people. Words that robots and applications for people share ("reader",
// "agent", "monitor") make no robot of it: only what names itself one does.
const isHeld = isAndroid | isIPhone | isIPad | isPhone | isAppleApp | isHostApp |
	isTV | isConsole | isAppliance | isWearable

// typeRules decide what kind of thing a user agent is; the first that applies
// wins, and their order is the design: what says that it is a robot comes
// first, then the rarer kinds of screens, phones before tablets before
// computers, because the later ones' words ("Linux", "Android", "Macintosh")
// also stand in the agents of the earlier ones.
var typeRules = []typeRule{
	{is: Bot, any: isBot},
	{is: Bot, any: isClient, none: isIPhone | isIPad | isAndroid | isAppleApp | isHostApp},
	{is: Bot, any: hasContact, none: isMSIE | isTV | isConsole | isPlayer | isAppleApp | isHostApp},
	{is: Bot, any: hasContact, all: isPlayer, none: isHeld},
	{is: Bot, any: isMaybeBot, none: isMSIE | isHeld | isPlayer},
	{is: Bot, any: isSoftBot, none: isHeld},
	{is: Bot, any: isBotHint, none: isMSIE | isHeld},
	{is: Bot, any: isSoftBot | isBotHint, all: isCompatible, none: isMSIE},
	{is: Unknown, all: isAppClient | isNamedApp, none: isHeld | isDesktopOS | isMac | saysMobile},
	{is: Bot, any: isAppClient, none: isHeld | isDesktopOS | isMac | saysMobile},
	{is: TV, any: isTV | modelTV},
	{is: TV, any: isTVHint, none: isPhone | isAppliance | saysMobile},
	{is: Console, any: isConsole | modelConsole},
	{is: Console, any: isXbox},
	{is: Wearable, any: isWearable | modelWearable},
	{is: Other, any: isAppliance | modelOther},
	{is: Mobile, all: isPuffin | puffinPhone},
	{is: Tablet, all: isPuffin | puffinTablet},
	{is: Mobile, all: isPhone, none: isTabletWord | isIPad | isTabletCode | modelTablet},
	{is: Tablet, any: isIPad},
	{is: Mobile, any: isIPhone},
	{is: Desktop, any: isLaptop, none: saysMobile | isTabletWord},
	{is: Desktop, all: isAndroid | isWindowsNT, none: saysMobile | isPhone},
	{is: Tablet, any: modelTablet},
	{is: Mobile, any: modelPhone | isPhoneCode},
	{is: Tablet, any: isTabletWord | isTabletCode},
	{is: Tablet, any: isIOSBrowser, all: isMac},
	{is: Desktop, any: isMac, none: isPhone},
	{is: Tablet, any: isWinRT},
	{is: Tablet, all: isSamsungX11 | isDesktopOS, none: isAndroid | saysMobile | isWindowsNT | isMac},
	{is: Mobile, any: saysMobile | isPhone},
	{is: Mobile, all: isAndroid | isApp},
	{is: Mobile, all: isAndroid, none: isRenderer},
	{is: Tablet, all: isAndroid},
	{is: Mobile, all: isAppleApp, none: isMacApp},
	{is: Desktop, any: isDesktopOS | isMac},
	{is: Bot, any: isBare},
}

func decide(found trait) string {
	for _, r := range typeRules {
		if (r.any == 0 || found&r.any != 0) && found&r.all == r.all && found&r.none == 0 {
			return r.is
		}
	}
	return Unknown
}

// Type says what kind of device sent this user agent with these hints
// (Hints), in a few microseconds, from our own tables alone and without
// allocating: it is called where a request waits.
func Type(userAgent, hints string) string {
	var buf [maxAgentBytes]byte
	found := traits(lowerASCII(buf[:], userAgent))
	return typeByHints(decide(found), found, hints)
}

// isAmbiguous tells Safari on a Mac, which half of the time is an iPad or an
// iPhone in desktop mode: only their count of touch points differs.
func isAmbiguous(userAgent string, found trait, hints string) bool {
	return found&isMac != 0 && found&(isIPad|isIPhone|isIOSBrowser|isMSIE) == 0 && touchPoints(hints) < 0 &&
		strings.Contains(userAgent, "AppleWebKit/") && !strings.Contains(userAgent, "Chrome/") && decide(found) == Desktop
}

func traits(s []byte) trait {
	from, to := androidModel(s)
	found := compiledWords().scan(s, from, to)
	if from < to {
		found |= lookupModel(s[from:to], found&saysMobile != 0)
	}
	if from < to && found&saysMobile == 0 && namesInches(s[from:to]) {
		found |= modelTV
	}
	if found&isAppClient != 0 && namesApp(s) {
		found |= isNamedApp
	}
	if barelyNamed(s, found) {
		found |= isBare
	}
	return found
}

func barelyNamed(s []byte, found trait) bool {
	return found&(isEngine|isDesktopOS|isAndroid|isMac|isPlayer) == 0 && len(s) > 0 && !bytes.ContainsAny(s, "'\"<=$")
}

// namesApp tells "mybank/7.2.1 okhttp/4.12.0" from "okhttp/4.12.0": an application
// stands in front of the library that it speaks through.
func namesApp(s []byte) bool {
	end := bytes.IndexByte(s, '/')
	return end > 0 && !bytes.ContainsAny(s[:end], " ;(") &&
		compiledWords().scan(s[:end+1], 0, 0)&(isAppClient|isClient|isBot) == 0
}
