package useragent

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/sessiontrack/sessiontrack/internal/text"
)

// AcceptedHints are the client hints that a Result is better for, as Accept-CH
// (RFC 8942) lists them. The first
// three come unasked from Chromium.
const AcceptedHints = "Sec-CH-UA, Sec-CH-UA-Mobile, Sec-CH-UA-Platform, " +
	"Sec-CH-UA-Platform-Version, Sec-CH-UA-Model, Sec-CH-UA-Form-Factors"

// touchPointsHeader carries navigator.maxTouchPoints, which only a script can read.
const touchPointsHeader = "X-Max-Touch-Points"

// A hintField is one part of the serialised hints: "key=value", parts being
// separated by '|'.
type hintField struct {
	key    byte
	header string
	limit  int // of the value, in bytes; all together stay below 512
}

var hintFields = [...]hintField{
	{'b', "Sec-CH-UA", 160},
	{'m', "Sec-CH-UA-Mobile", 1},
	{'p', "Sec-CH-UA-Platform", 32},
	{'v', "Sec-CH-UA-Platform-Version", 32},
	{'d', "Sec-CH-UA-Model", 96},
	{'f', "Sec-CH-UA-Form-Factors", 64},
	{'t', touchPointsHeader, 3},
}

// Hints returns the client hints of a request in a compact form of at
// most 512 bytes, to be kept beside the user agent so that a better classifier
// can label the session again. "" when there are none.
func Hints(h http.Header) string {
	var b strings.Builder
	for _, field := range hintFields {
		value := hintValue(field, h)
		if value == "" {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('|')
		}
		b.WriteByte(field.key)
		b.WriteByte('=')
		b.WriteString(value)
	}
	return b.String()
}

func hintValue(field hintField, h http.Header) string {
	lines := h.Values(field.header)
	if len(lines) == 0 {
		return ""
	}
	value := text.Visible(strings.Join(lines[:min(len(lines), 4)], ", "), 512)
	switch field.key {
	case 'b':
		value = brandList(value)
	case 'm':
		value = strings.TrimPrefix(unquote(value), "?")
		if value != "0" && value != "1" {
			return ""
		}
	case 't':
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 0 {
			return ""
		}
		value = strconv.Itoa(min(n, 255))
	case 'f':
		value = strings.ReplaceAll(value, `"`, "")
	default:
		value = unquote(value)
	}
	return strings.TrimSpace(strings.ReplaceAll(text.Visible(value, field.limit), "|", ""))
}

// unquote takes the quotes off a structured string (RFC 8941 §3.3.3); some
// clients send it without.
func unquote(s string) string {
	return strings.Trim(strings.ReplaceAll(s, `\`, ""), `" `)
}

// brandList shortens `"Chromium";v="131", "Google Chrome";v="131", …` to
// "Google Chrome/131,Chromium/131", without the brand that is there only so
// that nobody relies on the list (GREASE: "Not/A)Brand").
func brandList(value string) string {
	var kept []string
	for _, item := range splitQuoted(value) {
		name, version, _ := strings.Cut(strings.TrimLeft(item, ` "`), `"`)
		name = strings.ReplaceAll(strings.TrimSpace(name), ",", "")
		if name == "" || isGrease(name) {
			continue
		}
		version = unquote(strings.TrimPrefix(strings.TrimSpace(version), ";v="))
		if version != "" && version[0] >= '0' && version[0] <= '9' {
			name += "/" + major(version)
		}
		kept = append(kept, name)
	}
	return strings.ReplaceAll(strings.Join(kept, ","), `"`, "")
}

// splitQuoted splits at commas outside of quotes.
func splitQuoted(s string) []string {
	var items []string
	quoted, start := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			items = append(items, s[start:i])
			start = i + 1
		}
	}
	return append(items, s[start:])
}

func isGrease(name string) bool {
	return strings.Contains(name, "Not") && strings.Contains(name, "Brand")
}

// hintOf returns the value of one field of serialised hints, without allocating.
func hintOf(hints string, key byte) (value string, ok bool) {
	for len(hints) > 1 {
		part, rest, _ := strings.Cut(hints, "|")
		if len(part) > 1 && part[0] == key && part[1] == '=' {
			return part[2:], true
		}
		hints = rest
	}
	return "", false
}

// touchPoints returns what the application said of the screen, or -1.
func touchPoints(hints string) int {
	value, ok := hintOf(hints, 't')
	if !ok {
		return -1
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return -1
	}
	return n
}

// typeByHints corrects the type that a user agent gave, by what hints say of
// it. Sec-CH-UA-Form-Factors "Desktop" decides nothing: Chromium derives it
// from the mobile bit, so that tablets send it too. And "?0" says nothing
// about a phone's agent, which knows better.
func typeByHints(byAgent string, found trait, hints string) string {
	if hints == "" || byAgent == Bot {
		return byAgent
	}
	if found&isMac != 0 && touchPoints(hints) > 1 {
		return Tablet
	}
	if model, ok := hintOf(hints, 'd'); ok {
		if t, known := typeOfModel(model); known {
			return t
		}
	}
	if found&(isTV|isConsole|isWearable|isAppliance|isTabletCode|isTabletWord|modelTablet|modelTV|isIPad|isIPhone) != 0 {
		return byAgent
	}
	if factor, _ := hintOf(hints, 'f'); factor != "" {
		if t, ok := formFactors[factor]; ok {
			return t
		}
	}
	mobile, _ := hintOf(hints, 'm')
	platform, _ := hintOf(hints, 'p')
	switch {
	case mobile == "1" && (byAgent == Desktop || byAgent == Unknown):
		return Mobile
	case platform == "Android" && byAgent == Desktop && found&isLaptop == 0,
		mobile == "0" && byAgent == Mobile && found&isAndroid != 0 &&
			found&(saysMobile|isPhone|isPhoneCode|modelPhone) == 0:
		return Tablet
	}
	return byAgent
}

// formFactors are the values that say what "mobile" does not. A list of
// several says less than none.
var formFactors = map[string]string{
	"Tablet": Tablet, "Mobile": Mobile, "Watch": Wearable, "XR": Wearable, "Automotive": Other, "EInk": Other,
}

// typeOfModel asks the tables about a model's bare name, as a hint gives it.
func typeOfModel(model string) (string, bool) {
	var buf [96]byte
	s := lowerASCII(buf[:], model)
	found := compiledWords().scan(s, 0, len(s)) | lookupModel(s, false)
	switch {
	case found&(isTV|modelTV) != 0:
		return TV, true
	case found&(isWearable|modelWearable) != 0:
		return Wearable, true
	case found&(modelTablet|isTabletWord|isTabletCode) != 0 && found&(isPhoneCode|modelPhone) == 0:
		return Tablet, true
	}
	return Unknown, false
}
