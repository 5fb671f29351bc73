package sessiontrack

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/sessiontrack/sessiontrack/internal/useragent"
)

// TestDeviceConstants: the public names are those that the engine answers with.
func TestDeviceConstants(t *testing.T) {
	t.Parallel()
	for public, engine := range map[DeviceType]string{
		DeviceDesktop: useragent.Desktop, DeviceMobile: useragent.Mobile, DeviceTablet: useragent.Tablet, DeviceBot: useragent.Bot, DeviceTV: useragent.TV,
		DeviceConsole: useragent.Console, DeviceWearable: useragent.Wearable, DeviceOther: useragent.Other, DeviceUnknown: useragent.Unknown,
	} {
		assert.Equal(t, engine, string(public))
		assert.Contains(t, deviceTypes, public)
	}
	assert.Equal(t, useragent.SourceUserAgent, string(SourceUserAgent))
	assert.Equal(t, useragent.SourceClientHints, string(SourceClientHints))
	assert.Len(t, deviceTypes, len(DeviceCounts{}))
}

// TestDeviceFields: every field goes to the engine's form and comes back.
func TestDeviceFields(t *testing.T) {
	t.Parallel()
	assert.Equal(t, reflect.TypeFor[Device]().NumField(), reflect.TypeFor[useragent.Result]().NumField())
	var full Device
	fields := reflect.ValueOf(&full).Elem()
	for i := range fields.NumField() {
		name := fields.Type().Field(i).Name
		if fields.Field(i).Kind() == reflect.Bool {
			fields.Field(i).SetBool(true)
		} else {
			fields.Field(i).SetString(name)
		}
		_, ok := reflect.TypeFor[useragent.Result]().FieldByName(name)
		assert.True(t, ok, name)
	}
	assert.Equal(t, full, deviceOf(full.result()))
	engine := reflect.ValueOf(full.result())
	for i := range engine.NumField() {
		if engine.Field(i).Kind() == reflect.String {
			assert.Equal(t, engine.Type().Field(i).Name, engine.Field(i).String())
		}
	}
}

func TestDeviceCounts(t *testing.T) {
	t.Parallel()
	var c DeviceCounts
	for i, d := range deviceTypes {
		c.Add(d, i+1)
	}
	assert.Equal(t, DeviceCounts{1, 2, 3, 4, 5, 6, 7, 8, 9}, c)
	c.Add("", 10)
	c.Add("submarine", 100)
	assert.Equal(t, 19, c.Of(DeviceUnknown))
	assert.Equal(t, 108, c.Of(DeviceOther))
}

func TestDeviceJSON(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	h.Set("User-Agent", "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36")
	got, err := json.Marshal(ClassifyDevice(h))
	require.NoError(t, err)
	assert.JSONEq(t, `{"type":"mobile","browser":"Chrome Mobile","browserVersion":"131","os":"Android","source":"user_agent"}`, string(got))
}

func TestClassifierReload(t *testing.T) {
	t.Parallel()
	own := []byte("user_agent_parsers:\n  - regex: '(Ours)/(\\d+)'\nos_parsers:\n  - regex: '(Windows)'\ndevice_parsers:\n  - regex: '(Thing)'\n")
	h := http.Header{}
	h.Set("User-Agent", "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Ours/7")
	c, err := NewClassifier(own)
	require.NoError(t, err)
	assert.Equal(t, "Ours", c.Classify(h).Browser)
	require.Error(t, c.Reload([]byte("{}")))
	assert.Equal(t, "Ours", c.Classify(h).Browser)
	require.NoError(t, c.Reload(nil))
	assert.NotEqual(t, "Ours", c.Classify(h).Browser)
	_, err = NewClassifier([]byte("{}"))
	require.Error(t, err)
}

func TestAcceptClientHints(t *testing.T) {
	t.Parallel()
	next := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	w := httptest.NewRecorder()
	AcceptClientHints(next).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, http.StatusTeapot, w.Code)
	assert.Empty(t, w.Header().Get("Critical-CH"))
	assert.Equal(t, useragent.AcceptedHints, w.Header().Get("Accept-CH"))
}
