package sessiontrack

// DeviceType is what kind of thing a session runs on.
type DeviceType string

// The device types.
const (
	DeviceDesktop  DeviceType = "desktop"
	DeviceMobile   DeviceType = "mobile"
	DeviceTablet   DeviceType = "tablet"
	DeviceBot      DeviceType = "bot"
	DeviceTV       DeviceType = "tv"
	DeviceConsole  DeviceType = "console"
	DeviceWearable DeviceType = "wearable"
	DeviceOther    DeviceType = "other"
	DeviceUnknown  DeviceType = "unknown"
)

// DeviceSource says what a device was told by.
type DeviceSource string

// Device is what a session runs on, as far as it can be told.
type Device struct {
	Type                    DeviceType
	Browser, BrowserVersion string
	OS, OSVersion           string
	Brand, Model            string
	Source                  DeviceSource
	Ambiguous               bool
}
