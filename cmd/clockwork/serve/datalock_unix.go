//go:build linux || darwin || freebsd

package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// LockData locks a data directory for this process, until unlock: two brokers on the
// same files would destroy them. The system releases the lock of a process that dies.
func LockData(dir string) (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("data directory %s is another broker's: choose another with --data", dir)
	}
	return func() { file.Close() }, nil
}
