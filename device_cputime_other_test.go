//go:build !linux

package sessiontrack

import "time"

func cpuTime() time.Duration { return time.Since(processStart) }

var processStart = time.Now()
