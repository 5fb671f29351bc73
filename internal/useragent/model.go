package useragent

import "bytes"

// androidModel finds the model's name in the agent of an Android device, which
// is in lower case: the text before " build", else the first part after
// "android x;" that is neither a locale nor a keyword. from == to: none.
func androidModel(s []byte) (from, to int) {
	at := platformAt(s)
	if at < 0 {
		return 0, 0
	}
	if i := bytes.Index(s[at:], []byte("build/")); i > 0 && (s[at+i-1] == ' ' || s[at+i-1] == '_') {
		return modelBefore(s, at, at+i-1)
	}
	return modelAfter(s, at)
}

// platformAt finds the word that the model's name follows. UC Browser shortens
// Android to "adr", and names the phone after "midp" too.
func platformAt(s []byte) int {
	for _, word := range []string{"android", "andr0id", "; adr ", "(midp"} {
		if at := bytes.Index(s, []byte(word)); at >= 0 {
			return at + 1
		}
	}
	return -1
}

// modelBefore returns the part that ends at end.
func modelBefore(s []byte, at, end int) (from, to int) {
	from = at + bytes.LastIndexAny(s[at:end], ";#(") + 1
	if from == at { // "android 4.2 name build/"
		return 0, 0
	}
	return trimModel(s, from, end)
}

// modelAfter walks the parts after "android".
func modelAfter(s []byte, at int) (from, to int) {
	depth := 0
	start := -1 // of the current part; the first one is "android x" itself
	for i := at; i <= len(s); i++ {
		switch {
		case i == len(s), s[i] == ')' && depth == 0, s[i] == ';', s[i] == '#':
			if start >= 0 {
				if f, t := trimModel(s, start, i); f < t && !isKeyword(s[f:t]) {
					return f, t
				}
			}
			if i == len(s) || s[i] == ')' {
				return 0, 0
			}
			start = i + 1
		case s[i] == '(':
			depth++
		case s[i] == ')':
			depth--
		}
	}
	return 0, 0
}

// trimModel cuts spaces, and what follows a slash or the name of a system.
func trimModel(s []byte, from, to int) (int, int) {
	for from < to && s[from] == ' ' {
		from++
	}
	if i := bytes.IndexByte(s[from:to], '/'); i >= 0 {
		to = from + i
	}
	for _, tail := range []string{" build", " miui"} {
		if i := bytes.Index(s[from:to], []byte(tail)); i > 0 {
			to = from + i
		}
	}
	for from < to && s[to-1] == ' ' {
		to--
	}
	return from, to
}

// isKeyword tells the parts of a platform comment that are no model: a locale,
// "u", "wv", "mobile", "tablet", "rv:68.0", "linux", "arm_64".
func isKeyword(part []byte) bool {
	switch string(part) {
	case "u", "i", "n", "wv", "mobile", "tablet", "linux", "en", "harmonyos", "silk",
		"arm", "arm_64", "arm64", "aarch64", "x86", "x86_64":
		return true
	}
	return bytes.HasPrefix(part, []byte("rv:")) || isLocale(part)
}

// isLocale tells "de", "de-de", "de_DE", "zh-hans-cn", "de-".
func isLocale(part []byte) bool {
	if len(part) < 2 || !isLetter(part[0]) || !isLetter(part[1]) {
		return false
	}
	switch {
	case len(part) == 2:
		return true
	case part[2] != '-' && part[2] != '_':
		return false
	case len(part) == 3:
		return true
	case len(part) == 5:
		return isLetter(part[3]) && isLetter(part[4])
	}
	return len(part) == 10 && part[7] == '-'
}

const maxModelKey = 40

// modelKey writes name's key to dst: lower-case letters and digits only, and
// without the maker's name where that is often repeated before a model.
func modelKey(dst []byte, name []byte) []byte {
	for _, maker := range [...]string{"samsung ", "samsung-", "lenovo ", "huawei ", "asus ", "lge ", "sony ", "htc "} {
		if rest, ok := bytes.CutPrefix(name, []byte(maker)); ok && len(rest) > 3 {
			name = rest
			break
		}
	}
	dst = dst[:0]
	for _, c := range name {
		if (isAlnum(c) || c >= 0x80 || c == '+') && len(dst) < cap(dst) {
			dst = append(dst, c)
		}
	}
	return dst
}

// lookupModel asks the table of models. Keys of three bytes or fewer are words
// like "one" or "k1", which count only where nothing says mobile.
func lookupModel(name []byte, mobile bool) trait {
	var buf [maxModelKey]byte
	key := modelKey(buf[:0], name)
	if len(key) == 0 || len(key) <= 3 && mobile {
		return 0
	}
	kind, _ := findLine(modelTable, key)
	if len(key) <= 3 && kind != "t" && kind != "v" {
		return 0
	}
	switch kind {
	case "t":
		return modelTablet
	case "v":
		return modelTV
	case "c":
		return modelConsole
	case "m":
		return modelPhone
	case "w":
		return modelWearable
	case "o":
		return modelOther
	}
	return 0
}

// namesInches tells the model codes of televisions, which begin with the size of the
// screen: "50u7qf", "led43ad", "43pus7304". Phones' and tablets' codes do not.
func namesInches(model []byte) bool {
	for len(model) > 0 {
		part := model
		if end := bytes.IndexAny(model, " -_"); end >= 0 {
			part, model = model[:end], model[end+1:]
		} else {
			model = nil
		}
		named := false
		for _, panel := range [...]string{"led", "lcd", "oled", "qled", "uhd", "ue", "un", "qe", "qn", "kd", "kdl"} {
			if rest, ok := bytes.CutPrefix(part, []byte(panel)); ok && len(rest) > 1 && isDigit(rest[0]) {
				part, named = rest, true
				break
			}
		}
		if !inches(part) {
			continue
		}
		letters := 2
		for letters < len(part) && isLetter(part[letters]) {
			letters++
		}
		n := letters - 2
		if named && (n > 0 || len(part) == 2) || n > 0 && n < 6 && letters < len(part) && isDigit(part[letters]) {
			return true
		}
	}
	return false
}

// inches tells the sizes that televisions are sold in.
func inches(s []byte) bool {
	if len(s) < 2 || len(s) > 2 && isDigit(s[2]) {
		return false
	}
	switch string(s[:2]) {
	case "19", "22", "24", "28", "32", "39", "40", "42", "43", "48", "49", "50",
		"55", "58", "60", "65", "70", "75", "77", "82", "83", "85", "86", "98":
		return true
	}
	return false
}
