package sessiontrack

// A DeviceType is the kind of thing that sent a request.
type DeviceType string

// The kinds of devices.
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
const maxUserAgent = 512
