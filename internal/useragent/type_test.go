package useragent

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestDeviceTypeRules gives each rule of typeRules an agent that it, and no
// other rule, decides.
func TestDeviceTypeRules(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"":              Unknown,
		"Mozilla/5.0":   Bot,
		"SomeBot/1.0":   Bot,
		"curl/8.5.0":    Bot,
		"thing/1.2 (x)": Bot,
		"'; DROP TABLE": Unknown,
		"Mozilla/5.0 (X11; Linux x86_64; https://example.com/us) Gecko/20100101 Firefox/99.0":                                       Bot,
		"Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 6.1; https://example.com/addon)":                                             Desktop,
		"Mozilla/5.0 (Linux; Android 6.0; CUBOT Build/MRA58K) AppleWebKit/537.36 Chrome/71.0.3578.99 Mobile Safari/537.36":          Mobile,
		"Mozilla/5.0 (Linux; Android 6.0; VR BOT 552) AppleWebKit/537.36 Chrome/71.0.3578.99 Mobile Safari/537.36":                  Mobile,
		"Mozilla/5.0 (SMART-TV; Linux; Tizen 5.0) AppleWebKit/538.1 (KHTML, like Gecko) Version/5.0 TV Safari/538.1":                TV,
		"Mozilla/5.0 (Linux; Android 9; BRAVIA 4K GB) AppleWebKit/537.36 Chrome/103.0.0.0 Mobile Safari/537.36":                     TV,
		"Opera/9.80 (Linux mips; U; en) Presto/2.8.115 Version/11.10":                                                               TV,
		"Opera/9.80 (Linux armv7l; Maemo; Opera Mobi/14; U; en) Presto/2.9.201 Version/11.50":                                       Mobile,
		"Mozilla/5.0 (PlayStation; PlayStation 5/2.50) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 Safari/605.1.15":       Console,
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64; Xbox; Xbox One) AppleWebKit/537.36 Chrome/99.0.0.0 Safari/537.36 Edg/99.0":       Console,
		"Mozilla/5.0 (X11; Linux x86_64; Quest 3) AppleWebKit/537.36 OculusBrowser/31.4 Chrome/120.0.6099.283 VR Safari/537.36":     Wearable,
		"Mozilla/5.0 (X11; Linux armv7l like Android; en-us) AppleWebKit/531.2+ Version/5.0 Safari/533.2+ Kindle/3.0+":              Other,
		"Mozilla/5.0 (X11; GNU/Linux) AppleWebKit/537.36 Chromium/79.0 Chrome/79.0.3945.130 Safari/537.36 Tesla/2020.16.2.1":        Other,
		"Mozilla/5.0 (X11; U; Linux x86_64; en-us) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/30.0 Safari/537.36 Puffin/4.6.0AP": Mobile,
		"Mozilla/5.0 (X11; U; Linux x86_64; en-us) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/30.0 Safari/537.36 Puffin/4.6.0AT": Tablet,
		"Nokia6300/2.0 (05.00) Profile/MIDP-2.0 Configuration/CLDC-1.1":                                                             Mobile,
		"Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 Mobile Safari/537.36 Edge/15.1":   Mobile,
		"Mozilla/5.0 (iPad; CPU OS 12_2 like Mac OS X) AppleWebKit/605.1.15 Version/12.1 Mobile/15E148 Safari/604.1":                Tablet,
		safariOniPhone: Mobile,
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_4) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/85 Version/11.1.1 Safari/605.1.15": Tablet,
		"Mozilla/5.0 (Linux; Android 9; ASUS Chromebook Flip C302) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0 Safari/537.36":       Desktop,
		"Mozilla/5.0 (Linux; Android 11; Lenovo TB-X606F) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0 Mobile Safari/537.36":         Tablet,
		"Mozilla/5.0 (Linux; Android 11; moto tab g70) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0 Mobile Safari/537.36":            Tablet,
		"Mozilla/5.0 (Linux; Android 8.0; Coolpad 3632A) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0 Mobile Safari/537.36":          Mobile,
		"Mozilla/5.0 (Windows NT 6.2; ARM; Trident/7.0; Touch; rv:11.0) like Gecko":                                                        Tablet,
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/24.0 Chrome/117.0.0.0 Safari/537.36":        Tablet,
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 SamsungBrowser/29.0 Chrome/136.0.0.0 Safari/537.36":                  Desktop,
		"Mozilla/5.0 (Linux; Android 13; Unheard Of) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0 Mobile Safari/537.36":              Mobile,
		"Mozilla/5.0 (Linux; Android 13; Unheard Of) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/99.0 Safari/537.36":                     Tablet,
		"Dalvik/2.1.0 (Linux; U; Android 9; Unheard Of Build/PPR1)":                                                                        Mobile,
		"SomeShop/4.1.0 CFNetwork/1335.0.3 Darwin/21.6.0":                                                                                  Mobile,
		"SomeShop/4.1.0 CFNetwork/1335.0.3 Darwin/21.6.0 (x86_64)":                                                                         Desktop,
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36":                   Desktop,
		chromeOnWindows: Desktop,
		safariOnMac:     Desktop,
	} {
		assert.Equal(t, want, Type(agent, ""), agent)
	}
}

func TestTypeByHints(t *testing.T) {
	t.Parallel()
	tablet := "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	onLinux := "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
	for name, tt := range map[string]struct {
		agent, hints string
		want         string
	}{
		"none":                           {chromeFrozen, "", Mobile},
		"a model that is a tablet":       {chromeFrozen, "d=SM-X210", Tablet},
		"a model that is a television":   {tablet, "d=BRAVIA 4K", TV},
		"form factor desktop":            {tablet, "f=Desktop", Tablet},
		"form factor desktop on phone":   {chromeFrozen, "f=Desktop|m=1", Mobile},
		"form factor headset":            {tablet, "f=XR", Wearable},
		"several form factors":           {tablet, "f=Automotive, EInk", Tablet},
		"mobile with a desktop's agent":  {onLinux, "m=1", Mobile},
		"Android with a desktop's agent": {onLinux, "m=0|p=Android", Tablet},
		"not mobile on an iPhone":        {safariOniPhone, "m=0", Mobile},
		"touch on a Mac":                 {safariOnMac, "t=5", Tablet},
		"touch on Windows":               {chromeOnWindows, "t=10", Desktop},
		"a robot stays one":              {googlebot, "m=1|d=SM-X210|t=5", Bot},
		"garbage":                        {chromeOnWindows, "|||=t=x|t=|m|p", Desktop},
	} {
		assert.Equal(t, tt.want, Type(tt.agent, tt.hints), name)
	}
}

func TestAndroidModel(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string]string{
		"Mozilla/5.0 (Linux; Android 14; SM-S911B) AppleWebKit":                             "sm-s911b",
		"Mozilla/5.0 (Linux; U; Android 4.0.4; de-de; ME301T Build/JOP40D) AppleWebKit":     "me301t",
		"Mozilla/5.0 (Linux; Android 11; moto g power (2022)) AppleWebKit":                  "moto g power (2022)",
		"Mozilla/5.0 (Linux; U; Android 4.1; zh-CN; HTC T528t) U2/1.0.0":                    "htc t528t",
		"Mozilla/5.0 (Android 11; Mobile; rv:105.0) Gecko/105.0 Firefox/105.0":              "",
		"Mozilla/5.0 (Linux; Android 10; HarmonyOS; JNY-AL10; HMSCore 6.9) AppleWebKit":     "jny-al10",
		"Mozilla/5.0 (Linux; Android 8.1.0; SAMSUNG SM-T530/XXU1 Build/LRX22G) AppleWebKit": "samsung sm-t530",
		"UCWEB/2.0 (MIDP-2.0; U; Adr 4.4.2; ru; PMP7070C3G) U2/1.0.0 UCBrowser/9.2":         "pmp7070c3g",
		"Dalvik/1.6.0 (Linux; U; Android 4.2.2":                                             "",
		"android":                                                                           "",
		"android; (((((":                                                                    "(((((",
	} {
		s := []byte(strings.ToLower(agent))
		from, to := androidModel(s)
		assert.Equal(t, want, string(s[from:to]), agent)
	}
}

// TestDeviceWords checks the table itself: every trait has a rule or a use,
// and no row says a word twice.
func TestDeviceWords(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, row := range knownWords {
		require.Equal(t, row.trait, row.trait&-row.trait, "one trait a row: %v", row.trait)
		for word := range strings.FieldsSeq(row.words) {
			key := fmt.Sprint(row.trait, row.modelOnly, word)
			assert.False(t, seen[key], "%q is there twice", key)
			seen[key] = true
		}
	}
	assert.Greater(t, len(seen), 1000)
	var used trait
	for _, rule := range typeRules {
		used |= rule.any | rule.all | rule.none
	}
	for _, row := range knownWords {
		assert.NotZero(t, row.trait&(used|isInnocent|isEngine|isMSIE), "no rule asks for %s", row.words)
	}
}
