//go:build !linux

package useragent

import "time"

func cpuTime() time.Duration { return time.Since(processStart) }

var processStart = time.Now()
