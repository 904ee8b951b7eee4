package cli

import (
	"errors"
	"os"
)

// CreateRecord creates the file of --record. It never overwrites an existing file.
func CreateRecord(path string) (*os.File, error) {
	if at, err := os.Stat(path); err == nil && at.IsDir() {
		return nil, Usagef("--record %s is a directory; name a file in it", path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, Usagef("--record %s exists; remove it or name another", path)
	}
	if err != nil {
		return nil, Usagef("--record: %v", err)
	}
	return file, nil
}
