package useragent

import (
	"syscall"
	"time"
)

// cpuTime is what the thread has worked so far: other processes do not count.
func cpuTime() time.Duration {
	var used syscall.Rusage
	const thisThread = 1 // RUSAGE_THREAD
	if syscall.Getrusage(thisThread, &used) != nil {
		return time.Since(processStart)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

var processStart = time.Now()
