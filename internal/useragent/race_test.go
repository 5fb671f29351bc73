//go:build race

package useragent

const raceDetector = true
