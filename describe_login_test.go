package sessiontrack

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A sign-in says at once what it is on: of an agent seen before its names, of another one
// its kind.
func TestDeviceIsNamedAtOnceWhereItIsKnown(t *testing.T) {
	t.Parallel()
	for agent, want := range map[string][2]string{
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": {"Computer", "Firefox 140 on Linux"},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1": {
			"Phone", "Safari 18 on iOS 18 (iPhone)",
		},
		"curl/8.14.1": {"Automated client", "curl 8 (automated)"},
	} {
		t.Run(want[1], func(t *testing.T) {
			t.Parallel()
			classifier, err := NewClassifier(nil)
			require.NoError(t, err)
			synctest.Test(t, func(t *testing.T) {
				f := newFixture(t, &Options{Classifier: classifier}).started(t)
				first, token := f.login(t, "42", "User-Agent", agent)
				require.Equal(t, want[0], first.Device.String())
				time.Sleep(3 * time.Second) // the describer has written what it found
				second, _ := f.login(t, "42", "User-Agent", agent)
				require.Equal(t, want[1], second.Device.String())
				kept, err := f.Get(t.Context(), token.ID())
				require.NoError(t, err)
				require.Equal(t, kept.Device, second.Device, "what is said at once is what is found")
				require.NoError(t, f.Shutdown(t.Context()))
			})
		})
	}
}
