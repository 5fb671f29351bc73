//go:build !unix

package pgtest

import (
	"errors"
	"os"
	"os/exec"
)

var errNoUnix = errors.New("a private server needs a Unix system; set " + EnvDSN)

var stopSignals = map[Mode]os.Signal{Smart: os.Interrupt, Fast: os.Interrupt, Immediate: os.Kill}

func setUserAndGroup(*exec.Cmd)   {}
func giveAway(string) error       { return errNoUnix }
func freeze(postmaster int) error { return errNoUnix }
func thaw(postmaster int) error   { return errNoUnix }
