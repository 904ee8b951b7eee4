//go:build linux && !static

package onnx

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A checker, a trial and an executor are children of the worker's process. This is what
// they have in common.

// childCommand prepares a child in its own process group and with its own environment:
// it must not read this process's broker credentials, and a key pressed on the terminal
// must not end it. The system kills it when the thread that starts it ends, and so when
// this process does: the thread must live until the child has ended.
func childCommand(argv []string, files ...*os.File) *exec.Cmd {
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = childEnvironment()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.ExtraFiles = files
	cmd.WaitDelay = drainTime
	return cmd
}

// childEnvironment returns only the search path for the library's dependencies, and how
// much a child says about its own crash: by default which signal it was, and not where.
func childEnvironment() []string {
	environment := []string{}
	for _, name := range []string{"LD_LIBRARY_PATH", "GOTRACEBACK"} {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		} else if name == "GOTRACEBACK" {
			environment = append(environment, name+"=none")
		}
	}
	return environment
}

// waitChild waits until the child has ended and kills what is left of its process group,
// before the group's number can be reused.
func waitChild(cmd *exec.Cmd) error {
	pid := cmd.Process.Pid
	for errors.Is(unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil), unix.EINTR) {
	}
	_ = unix.Kill(-pid, unix.SIGKILL)
	return cmd.Wait()
}

// limit is a resource limit of a child.
type limit struct {
	resource int
	value    uint64
}

// limitChild sets limits for good. If memory runs out before them, the kernel kills this
// child before others.
func limitChild(pid int, limits ...limit) error {
	var all error
	for _, l := range limits {
		all = errors.Join(all, unix.Prlimit(pid, l.resource, &unix.Rlimit{Cur: l.value, Max: l.value}, nil))
	}
	return errors.Join(all, os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0))
}

// endOf says how a child ended. said is the first line that it wrote to its standard
// error: the Go runtime catches the signals of a fault, says which it was, and exits.
func endOf(err error, said string) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status, _ := exit.Sys().(syscall.WaitStatus)
		switch {
		case killed(err):
			return "SIGKILL, by the kernel for want of memory or by another process"
		case status.Signaled():
			return unix.SignalName(status.Signal())
		case strings.HasPrefix(said, "SIG"):
			return tidy(said)
		}
		return strings.TrimSpace(fmt.Sprintf("exit code %d %s", status.ExitStatus(), tidy(said)))
	}
	if err != nil {
		return tidy(err.Error())
	}
	return strings.TrimSpace("exit code 0 " + tidy(said))
}

// killed reports whether a child was ended by SIGKILL.
func killed(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	status, _ := exit.Sys().(syscall.WaitStatus)
	return status.Signaled() && status.Signal() == unix.SIGKILL
}
