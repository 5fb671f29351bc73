//go:build unix

package redistest

import (
	"os/exec"
	"syscall"
)

// ownGroup gives the guardian a process group of its own, so that Ctrl-C in the terminal
// reaches only the test binary.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func freeze(pid int) error { return syscall.Kill(pid, syscall.SIGSTOP) }

func thaw(pid int) error { return syscall.Kill(pid, syscall.SIGCONT) }
