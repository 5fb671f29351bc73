package dashboard

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Link is one of [Options.Links].
type Link struct {
	// Text is what people read.
	Text string `json:"text"`
	// URL is a path of the page's own origin or an https address.
	URL string `json:"url"`
}

// The surfaces on which the accent colour is read, in light and in dark, and how well it
// must stand out from them (WCAG 2.2, 1.4.3).
const (
	lightSurface = "#eef0f4"
	darkSurface  = "#161a21"
	readable     = 4.5
	clear        = 6
)

// colour is a colour of sRGB, each part from 0 to 1.
type colour [3]float64

func parseColour(text string) (colour, bool) {
	var c colour
	if len(text) != 7 || text[0] != '#' {
		return c, false
	}
	for i := range c {
		part, err := strconv.ParseUint(text[1+2*i:3+2*i], 16, 8)
		if err != nil {
			return c, false
		}
		c[i] = float64(part) / 255
	}
	return c, true
}

func (c colour) String() string {
	part := func(v float64) int { return int(math.Round(v * 255)) }
	return fmt.Sprintf("#%02x%02x%02x", part(c[0]), part(c[1]), part(c[2]))
}

// luminance is the relative luminance of WCAG 2.2.
func (c colour) luminance() float64 {
	linear := func(v float64) float64 {
		if v <= 0.04045 {
			return v / 12.92
		}
		return math.Pow((v+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(c[0]) + 0.7152*linear(c[1]) + 0.0722*linear(c[2])
}

func contrast(a, b colour) float64 {
	x, y := a.luminance(), b.luminance()
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// onDark is the colour, lightened until it can be read on the dark surface.
func (c colour) onDark() colour {
	surface, _ := parseColour(darkSurface)
	for range 40 {
		if contrast(c, surface) >= clear {
			break
		}
		for i := range c {
			c[i] += (1 - c[i]) * 0.08
		}
	}
	return c
}

// brand is a style sheet with the host's colour, or nothing.
func (o *Options) brand() []byte {
	light, ok := parseColour(o.Accent)
	if !ok {
		return nil
	}
	theme := func(c colour, wash string) string {
		return fmt.Sprintf(":root { --accent: %[1]v; --accent-text: %[1]v; "+
			"--accent-wash: color-mix(in srgb, %[1]v %[2]s, transparent); }", c, wash)
	}
	return fmt.Appendf(nil, "%s\n@media (prefers-color-scheme: dark) { %s }\n", theme(light, "9%"),
		theme(light.onDark(), "14%"))
}

func (o *Options) checkBrand() error {
	surface, _ := parseColour(lightSurface)
	if c, ok := parseColour(o.Accent); o.Accent != "" && !(ok && contrast(c, surface) >= readable) {
		return fmt.Errorf("dashboard: Options.Accent %q must be a colour such as #3350cf that is dark enough to be read: "+
			"a contrast of %v to %s", o.Accent, readable, lightSurface)
	}
	for _, link := range o.Links {
		if strings.TrimSpace(link.Text) == "" || link.URL == "" || !linkable(link.URL) {
			return fmt.Errorf("dashboard: Options.Links %q must have a text, and a path or an https address", link)
		}
	}
	for _, origin := range o.FrameAncestors {
		if origin != "'self'" && !imageOrigin(origin) {
			return fmt.Errorf("dashboard: Options.FrameAncestors %q must be 'self' or an https origin without a path", origin)
		}
	}
	return nil
}
