//go:build linux || darwin || freebsd

package tsv

import (
	"errors"
	"os"
	"syscall"
)

// lock locks a file for this process until the file is closed: two processes that rotate
// the same file would lose each other's lines.
func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.New("another process writes it; name another file")
	}
	return nil
}
