package sessiontrack

import (
	"bytes"
	"strings"
)

// A typeRule is one line of typeRules: it decides when the agent shows one of
// any (zero: no such demand), all of all and none of none.
type typeRule struct {
	is             DeviceType
	any, all, none trait
}

// typeRules decide what kind of thing a user agent is; the first that applies
// wins, and their order is the design: what says that it is a robot comes
// first, then the rarer kinds of screens, phones before tablets before
// computers, because the later ones' words ("Linux", "Android", "Macintosh")
// also stand in the agents of the earlier ones.
var typeRules = []typeRule{
	{is: DeviceBot, any: isBot | isClient},
	{is: DeviceBot, any: hasContact, none: isMSIE | isTV | isConsole},
	{is: DeviceBot, any: isMaybeBot, none: isMSIE | isTV | isConsole | isPhone | isAndroid | isIPhone | isIPad | isAppleApp},
	{is: DeviceBot, any: isBotHint, none: isMSIE | isPhone | isTV | isConsole | isAppliance | isIPad | isIPhone},
	{is: DeviceTV, any: isTV | modelTV},
	{is: DeviceTV, any: isTVHint, none: isPhone | isAppliance | saysMobile},
	{is: DeviceConsole, any: isConsole | modelConsole},
	{is: DeviceConsole, any: isXbox},
	{is: DeviceWearable, any: isWearable | modelWearable},
	{is: DeviceOther, any: isAppliance | modelOther},
	{is: DeviceMobile, all: isPuffin | puffinPhone},
	{is: DeviceTablet, all: isPuffin | puffinTablet},
	{is: DeviceMobile, all: isPhone, none: isTabletWord | isIPad | isTabletCode | modelTablet},
	{is: DeviceTablet, any: isIPad},
	{is: DeviceMobile, any: isIPhone},
	{is: DeviceDesktop, any: isLaptop, none: saysMobile | isTabletWord},
	{is: DeviceDesktop, all: isAndroid | isWindowsNT, none: saysMobile | isPhone},
	{is: DeviceTablet, any: modelTablet},
	{is: DeviceMobile, any: modelPhone | isPhoneCode},
	{is: DeviceTablet, any: isTabletWord | isTabletCode},
	{is: DeviceTablet, any: isIOSBrowser, all: isMac},
	{is: DeviceDesktop, any: isMac, none: isPhone},
	{is: DeviceTablet, any: isWinRT},
	{is: DeviceTablet, all: isSamsungX11 | isDesktopOS, none: isAndroid | saysMobile | isWindowsNT | isMac},
	{is: DeviceMobile, any: saysMobile | isPhone},
	{is: DeviceMobile, all: isAndroid | isApp},
	{is: DeviceMobile, all: isAndroid, none: isRenderer},
	{is: DeviceTablet, all: isAndroid},
	{is: DeviceMobile, all: isAppleApp, none: isMacApp},
	{is: DeviceDesktop, any: isDesktopOS | isMac},
	{is: DeviceBot, any: isBare},
}

func decide(found trait) DeviceType {
	for _, r := range typeRules {
		if (r.any == 0 || found&r.any != 0) && found&r.all == r.all && found&r.none == 0 {
			return r.is
		}
	}
	return DeviceUnknown
}

// deviceType says what kind of device sent this user agent with these hints
// (deviceHints), in a few microseconds, from our own tables alone and without
// allocating: it is called where a request waits.
func deviceType(userAgent, hints string) DeviceType {
	var buf [maxAgentBytes]byte
	found := traits(lowerASCII(buf[:], userAgent))
	return typeByHints(decide(found), found, hints)
}

// isAmbiguous tells Safari on a Mac, which half of the time is an iPad or an
// iPhone in desktop mode: only their count of touch points differs.
func isAmbiguous(userAgent string, found trait, hints string) bool {
	return found&isMac != 0 && found&(isIPad|isIPhone|isIOSBrowser|isMSIE) == 0 && touchPoints(hints) < 0 &&
		strings.Contains(userAgent, "AppleWebKit/") && !strings.Contains(userAgent, "Chrome/") && decide(found) == DeviceDesktop
}

func traits(s []byte) trait {
	from, to := androidModel(s)
	found := compiledWords().scan(s, from, to)
	if from < to {
		found |= lookupModel(s[from:to], found&saysMobile != 0)
	}
	if barelyNamed(s, found) {
		found |= isBare
	}
	return found
}

func barelyNamed(s []byte, found trait) bool {
	return found&(isEngine|isDesktopOS|isAndroid|isMac) == 0 && len(s) > 0 && !bytes.ContainsAny(s, "'\"<=$")
}
