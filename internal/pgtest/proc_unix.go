//go:build unix

package pgtest

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// unprivileged lists the users that the server runs as if the caller is root. The first that exists
// is used.
var unprivileged = []string{"postgres", "nobody"}

// credential returns the server's user; nil means the caller's user, which is then not root.
var credential = sync.OnceValues(func() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range unprivileged {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.ParseUint(account.Uid, 10, 32)
		gid, errGID := strconv.ParseUint(account.Gid, 10, 32)
		if errUID == nil && errGID == nil {
			return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody")
})

func setUserAndGroup(cmd *exec.Cmd) {
	c, _ := credential() // giveAway has already reported the error
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c, Setpgid: true}
}

// giveAway makes the server's user the owner of a folder or file.
func giveAway(path string) error {
	c, err := credential()
	if err != nil || c == nil {
		return err
	}
	return os.Chown(path, int(c.Uid), int(c.Gid))
}

var stopSignals = map[Mode]os.Signal{Smart: syscall.SIGTERM, Fast: syscall.SIGINT, Immediate: syscall.SIGQUIT}

// signalAll sends a signal to the postmaster and all of its children. Each child has its own Unix
// session, so a signal to the process group does not reach it.
func signalAll(postmaster int, signal syscall.Signal) error {
	if err := syscall.Kill(postmaster, signal); err != nil {
		return err
	}
	output, err := exec.Command("ps", "-A", "-o", "pid=", "-o", "ppid=").Output()
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(output)) {
		fields := strings.Fields(line)
		if len(fields) != 2 || fields[1] != strconv.Itoa(postmaster) {
			continue
		}
		if pid, err := strconv.Atoi(fields[0]); err == nil {
			_ = syscall.Kill(pid, signal) // the process may have ended
		}
	}
	return nil
}

func freeze(postmaster int) error { return signalAll(postmaster, syscall.SIGSTOP) }
func thaw(postmaster int) error   { return signalAll(postmaster, syscall.SIGCONT) }
