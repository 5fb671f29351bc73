package useragent

import "strings"

// enginesAndSystems are product tokens that robots borrow from browsers.
var enginesAndSystems = setOf(
	"mozilla",
	"applewebkit",
	"pkeyauth",
	"mem",
	"nettype",
	"language",
	"chrome",
	"safari",
	"version",
	"mobile",
	"gecko",
	"firefox",
	"khtml",
	"compatible",
	"linux",
	"windows",
	"macintosh",
	"x11",
	"android",
	"iphone",
	"msie",
	"trident",
	"java",
	"like",
	"chromium",
	"opera",
	"presto",
	"edge",
	"edg",
	"arkweb",
	"u",
	"x86_64",
	"intel",
	"build",
)

// botName finds the name that a robot gives itself: the first product token
// that no browser has, preferring one that carries a version. What is a robot
// by its shape alone has a name only before a comment: "fetchit/1.2 (…)".
func botName(userAgent string, found trait) (name, version string) {
	named := found&(isBot|isBotHint|isMaybeBot|isClient|hasContact) != 0
	if !named && !strings.Contains(userAgent, "(") {
		return "", ""
	}
	for rest := userAgent; rest != ""; {
		token, tail := nextToken(rest)
		rest = tail
		product, after, versioned := strings.Cut(token, "/")
		if !isName(product) || enginesAndSystems[strings.ToLower(product)] {
			continue
		}
		if versioned {
			return product, leadingVersion(after)
		}
		if name == "" && looksLikeBot(product) {
			name = product
		}
	}
	return name, ""
}

// nextToken splits at what separates products and comments.
func nextToken(s string) (token, rest string) {
	s = strings.TrimLeft(s, " ;,()+")
	end := strings.IndexAny(s, " ;,()+")
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

// isName tells words like "Googlebot" or "python-requests" from numbers,
// addresses and model names.
func isName(s string) bool {
	return len(s) > 1 && len(s) <= 40 && isLetter(s[0]|0x20) &&
		!strings.ContainsAny(s, ":@=") && !strings.HasPrefix(s, "www.")
}

func looksLikeBot(name string) bool {
	var buf [64]byte
	return compiledWords().scan(lowerASCII(buf[:], name), 0, 0)&(isBot|isBotHint|isClient) != 0
}
