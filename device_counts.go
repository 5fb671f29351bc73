package sessiontrack

import "slices"

// deviceTypes are in the order of the counts that are stored: it never changes.
var deviceTypes = [...]DeviceType{
	DeviceDesktop, DeviceMobile, DeviceTablet, DeviceBot, DeviceTV, DeviceConsole, DeviceWearable, DeviceOther, DeviceUnknown,
}

// DeviceCounts are numbers by device type.
type DeviceCounts [len(deviceTypes)]int

// Of returns the number of a type.
func (c *DeviceCounts) Of(t DeviceType) int { return c[deviceIndex(t)] }

// Add adds to the number of a type: [DeviceUnknown] for none, [DeviceOther] for one
// that is not this package's.
func (c *DeviceCounts) Add(t DeviceType, n int) { c[deviceIndex(t)] += n }

func deviceIndex(t DeviceType) int {
	if t == "" {
		t = DeviceUnknown
	}
	if i := slices.Index(deviceTypes[:], t); i >= 0 {
		return i
	}
	return slices.Index(deviceTypes[:], DeviceOther)
}
