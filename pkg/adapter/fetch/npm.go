package fetch

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// maxMember is the largest file that is unpacked, and maxArchive how much of an archive
// is read, in bytes.
const (
	maxMember  = 1 << 30
	maxArchive = 4 << 30
)

// pack runs `npm pack NAME@VERSION` in dir and returns the path of the archive.
func pack(ctx context.Context, dir string, p Package) (string, error) {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", ErrNoNPM
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, npm, "pack", "--ignore-scripts", "--silent", p.Name+"@"+p.Version)
	cmd.Dir = dir
	cmd.Stderr = &stderr
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("npm pack %s@%s: %w %s", p.Name, p.Version, err, lastLine(stderr.String()))
	}
	archives, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(archives) != 1 {
		return "", fmt.Errorf("npm pack %s@%s: expected one archive, got %d", p.Name, p.Version, len(archives))
	}
	return archives[0], nil
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

// unpack extracts the wanted files of an archive into folder. Members are found by their
// exact name, and written under the declared name: no path of the archive is used as a
// file name.
func (f Fetcher) unpack(archive, work, folder, name string, wanted []File) error {
	in, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return err
	}
	members := tar.NewReader(io.LimitReader(unzipped, maxArchive))
	left := make(map[string]File, len(wanted))
	for _, file := range wanted {
		left[file.Member] = file
	}
	for len(left) > 0 {
		header, err := members.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		file, ok := left[header.Name]
		if !ok {
			continue
		}
		if header.Typeflag != tar.TypeReg || header.Size > maxMember {
			return fmt.Errorf("%s: not a regular file within %d bytes", header.Name, maxMember)
		}
		if err := f.place(members, header.Size, work, folder, name, file); err != nil {
			return fmt.Errorf("%s: %w", header.Name, err)
		}
		delete(left, header.Name)
	}
	for _, file := range wanted {
		if _, ok := left[file.Member]; ok {
			return fmt.Errorf("%s: not in the package", file.Member)
		}
	}
	return nil
}

// place writes one member to a temporary file, checks it, and renames it into place.
func (f Fetcher) place(in io.Reader, size int64, work, folder, name string, file File) error {
	out, err := os.CreateTemp(work, "member-")
	if err != nil {
		return err
	}
	defer out.Close()
	sum := sha256.New()
	counted := &counter{report: func(done int64) {
		f.report(Event{Package: name, File: file.Dest, Done: done, Total: size})
	}}
	if _, err := io.Copy(io.MultiWriter(out, sum, counted), in); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != file.SHA256 {
		return fmt.Errorf("sha256 is %s, expected %s", got, file.SHA256)
	}
	if err := errors.Join(out.Chmod(0o644), out.Close()); err != nil {
		return err
	}
	dest := filepath.Join(folder, file.Dest)
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return err
	}
	return os.Rename(out.Name(), dest)
}

// counter reports how many bytes have been written.
type counter struct {
	done   int64
	report func(int64)
}

func (c *counter) Write(b []byte) (int, error) {
	c.done += int64(len(b))
	c.report(c.done)
	return len(b), nil
}
