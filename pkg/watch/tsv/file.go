package tsv

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
)

// maxLine is longer than any line.
const maxLine = 4096

// file appends lines to a file. Invariant: after its header the file holds only whole
// lines, at the latest when it is opened again.
type file struct {
	Config
	header string
	log    *slog.Logger

	f    *os.File // nil while the file cannot be opened
	size int64
}

// open opens the file for appending. An existing file must have the same header.
func (f *file) open() error {
	opened, err := os.OpenFile(f.Path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	f.f = opened
	if err := f.begin(); err != nil {
		return errors.Join(fmt.Errorf("open log %s: %w", f.Path, err), f.close())
	}
	return nil
}

func (f *file) begin() error {
	if err := lock(f.f); err != nil {
		return err
	}
	info, err := f.f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no regular file")
	}
	if f.size = info.Size(); f.size == 0 {
		return f.append([]byte(f.header))
	}
	if err := f.sameHeader(); err != nil {
		return err
	}
	return f.mend()
}

func (f *file) sameHeader() error {
	there := make([]byte, min(int64(len(f.header)), f.size))
	if _, err := f.f.ReadAt(there, 0); err != nil {
		return err
	}
	if string(there) != f.header {
		return errors.New("it has other columns than this version writes; move it away, or name another file")
	}
	return nil
}

// mend cuts off a partial line that a process left when it died.
func (f *file) mend() error {
	tail := make([]byte, min(maxLine, f.size))
	if _, err := f.f.ReadAt(tail, f.size-int64(len(tail))); err != nil {
		return err
	}
	torn := 0
	for torn < len(tail) && tail[len(tail)-1-torn] != '\n' {
		torn++
	}
	return f.cut(f.size - int64(torn))
}

func (f *file) cut(size int64) error {
	if size == f.size {
		return nil
	}
	if err := f.f.Truncate(size); err != nil {
		return err
	}
	f.size = size
	return nil
}

// write appends whole lines: all of them, or on error none.
func (f *file) write(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if err := f.follow(); err != nil {
		return err
	}
	if f.Rotate > 0 && f.size > int64(len(f.header)) && f.size+int64(len(lines)) > f.Rotate {
		if err := f.rotate(); err != nil {
			return err
		}
	}
	return f.append(lines)
}

func (f *file) append(lines []byte) error {
	n, err := f.f.Write(lines)
	whole := f.size
	if f.size += int64(n); err != nil {
		return errors.Join(err, f.cut(whole))
	}
	return nil
}

// follow opens the file if it is not open or has been moved away from its path, and
// writes the header again if the file was emptied.
func (f *file) follow() error {
	if f.f == nil {
		return f.open()
	}
	mine, err := f.f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(f.Path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, there) {
		if err := f.close(); err != nil {
			return err
		}
		return f.open()
	}
	if f.size = mine.Size(); f.size == 0 {
		return f.append([]byte(f.header))
	}
	return err
}

// rotate renames the file and begins a new one. If that fails, writing continues in the
// old file.
func (f *file) rotate() error {
	for i := f.Keep - 1; i >= 1; i-- {
		if err := os.Rename(f.aside(i), f.aside(i+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			f.log.Warn("log not rotated", "error", err)
			return nil
		}
	}
	if err := os.Rename(f.Path, f.aside(1)); err != nil {
		f.log.Warn("log not rotated", "error", err)
		return nil
	}
	return errors.Join(f.close(), f.open())
}

// aside returns the path of the i-th rotated file.
func (f *file) aside(i int) string { return f.Path + "." + strconv.Itoa(i) }

func (f *file) close() error {
	if f.f == nil {
		return nil
	}
	err := f.f.Close()
	f.f = nil
	if err != nil {
		return fmt.Errorf("close log: %w", err)
	}
	return nil
}
