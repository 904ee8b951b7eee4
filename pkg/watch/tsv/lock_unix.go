//go:build linux || darwin || freebsd

package tsv

import (
	"errors"
	"os"
	"syscall"
)

// lock takes a file for this process, until it is closed: two that rotate the same file
// would lose each other's lines.
func lock(f *os.File) error {
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return errors.New("another process writes it; name another file")
	}
	return nil
}
