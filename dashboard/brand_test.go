package dashboard

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The host's colour can be read in both themes, or is refused.
func TestAccent(t *testing.T) {
	t.Parallel()
	dark, _ := parseColour(darkSurface)
	for _, accent := range []string{"#3350cf", "#0a6b3d", "#7a1fa2", "#000000", "#B3261E"} {
		h := Handler(&Options{Accent: accent})
		c, ok := parseColour(accent)
		require.True(t, ok)
		style := get(t, h, "/dashboard/"+pathOf(t, h, "style.css")).Body.String()
		assert.Contains(t, style, "--accent: "+strings.ToLower(accent)+";")
		assert.Contains(t, style, "--accent: "+c.onDark().String()+";")
		assert.GreaterOrEqual(t, contrast(c.onDark(), dark), readable)
	}
	plain := Handler(nil)
	style := get(t, plain, "/dashboard/"+pathOf(t, plain, "style.css")).Body.String()
	assert.Equal(t, 2, strings.Count(style, "--accent: "))
	white, _ := parseColour("#ffffff")
	black, _ := parseColour("#000000")
	assert.InDelta(t, 21, contrast(white, black), 0.001)
}

func TestBrandIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		names string
		o     Options
	}{
		{`Accent "red"`, Options{Accent: "red"}},
		{`Accent "#ffdd00"`, Options{Accent: "#ffdd00"}}, // nobody could read it
		{`Accent "#12345g"`, Options{Accent: "#12345g"}},
		{`Accent "#000;}*{"`, Options{Accent: "#000;}*{"}},
		{`Logo "https:`, Options{Logo: "https://evil.example/logo.svg"}},
		{`DevicesPage "//evil`, Options{DevicesPage: "//evil.example/"}},
		{`UserURL "/users/"`, Options{UserURL: "/users/"}},
		{`UserURL "javascript:`, Options{UserURL: "javascript:alert({id})"}},
		{`UserURL "http:`, Options{UserURL: "http://a.example/{id}"}},
		{`Links {"" "/x"}`, Options{Links: []Link{{Text: "", URL: "/x"}}}},
		{`Links {"x" "javascript:`, Options{Links: []Link{{Text: "x", URL: "javascript:alert(1)"}}}},
		{`FrameAncestors "*"`, Options{FrameAncestors: []string{"*"}}},
		{`FrameAncestors "https://a.b; `, Options{FrameAncestors: []string{"https://a.b; script-src *"}}},
	} {
		_, err := test.o.withDefaults()
		assert.ErrorContains(t, err, "dashboard: Options."+test.names)
	}
	o, err := (&Options{
		UserURL: "https://admin.example.com/users/{id}", Accent: "#0a6b3d",
		Links: []Link{{"Shop", "https://shop.example.com/"}, {"Home", "/"}},
	}).withDefaults()
	require.NoError(t, err)
	assert.Contains(t, string(o.config()), `"links":[{"text":"Shop","url":"https://shop.example.com/"}`)
}

// Nobody may show the page in a frame but whom the host names.
func TestFrameAncestors(t *testing.T) {
	t.Parallel()
	policy := func(o *Options) string {
		return get(t, Handler(o), "/dashboard/").Header().Get("Content-Security-Policy")
	}
	assert.Contains(t, policy(nil), "; frame-ancestors 'none';")
	assert.Contains(t, policy(&Options{FrameAncestors: []string{"'self'", "https://intranet.example.com"}}),
		"; frame-ancestors 'self' https://intranet.example.com;")
}
