//go:build race

package main

// The demo under test is built with the race detector where its tests are: a race
// makes it exit with 66, which every test sees.
func init() { buildFlags = append(buildFlags, "-race") }
