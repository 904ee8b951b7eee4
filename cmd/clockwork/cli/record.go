package cli

import (
	"errors"
	"os"
)

// CreateRecord creates the file that a flag names, --record or another. It never
// overwrites an existing file; that, as a directory, is a usage error.
func CreateRecord(flag, path string) (*os.File, error) {
	if at, err := os.Stat(path); err == nil && at.IsDir() {
		return nil, Usagef("%s %s is a directory; name a file in it", flag, path)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, Usagef("%s %s exists; remove it or name another", flag, path)
	}
	if err != nil {
		return nil, Usagef("%s: %v", flag, err)
	}
	return file, nil
}
