//go:build !unix

package redistest

import (
	"errors"
	"os/exec"
)

func ownGroup(*exec.Cmd) {}

func freeze(int) error { return errors.ErrUnsupported }

func thaw(int) error { return errors.ErrUnsupported }
