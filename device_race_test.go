//go:build race

package sessiontrack

const raceDetector = true
