//go:build linux && !static

package onnx

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

// optimizedFormat must be increased when our changes to graphs before saving change,
// trialFormat when what trials find does.
const (
	optimizedFormat = "1"
	trialFormat     = "2"
)

// cache stores what is known of models: the sums of their files, and of those that passed
// every check the optimised graphs and what their trials found. A file is that, then its sha256. Its key is the model's digest,
// head, version of ORT and instruction set, and for a trial its limits. Processes may
// share the directory, since a file appears complete or not at all.
type cache struct {
	dir string
	// version is ONNX Runtime's, isa the instruction set.
	version, isa string
}

// graphPath is where the optimised graph of a model is.
func (c *cache) graphPath(digest [sha256.Size]byte, head string) string {
	return c.path(digest, head) + ".ort"
}

// trialPath is where that is what the trial of a model found, up to batches of limit.
func (c *cache) trialPath(digest [sha256.Size]byte, of config, limit int) string {
	of.maxBatch = limit
	settings := sha256.Sum256(of.canonical())
	return c.path(digest, of.head) + "-" + trialFormat + "-" + hex.EncodeToString(settings[:8]) + ".trial"
}

func (c *cache) path(digest [sha256.Size]byte, head string) string {
	return filepath.Join(c.dir, hex.EncodeToString(digest[:])+"-"+protocol.Name(c.version+"-"+c.isa+"-"+optimizedFormat+head))
}

// graph returns the cached graph of a model, nil if there is none.
func (c *cache) graph(path string, limit int64) *region {
	r := c.load(path, limit)
	if r != nil && inspect(r.bytes()) != nil {
		r.close()
		return nil
	}
	return r
}

// trial returns what a trial up to batches of limit found, nil if it is not known.
func (c *cache) trial(path string, limit int) *description {
	r := c.load(path, maxDescription)
	if r == nil {
		return nil
	}
	defer r.close()
	var found description
	if json.Unmarshal(r.bytes(), &found) != nil || !found.valid(limit) {
		return nil
	}
	return &found
}

// keepTrial stores what a trial found.
func (c *cache) keepTrial(path string, found *description) error {
	text, err := json.Marshal(found)
	if err != nil {
		return err
	}
	return c.keep(path, text)
}

// settle is how old the last change of a file must be for its sum to be kept: a later
// change then has another time, however coarse the times of the file system are.
const settle = 2 * time.Second

// fileKey names a file as it is: its place, size, and the times at which its content and
// anything of it last changed. settled: a change from now on would give another name.
func fileKey(file *os.File) (key string, settled bool) {
	info, err := file.Stat()
	if err != nil {
		return "", false
	}
	s := info.Sys().(*syscall.Stat_t)
	changed := time.Unix(s.Ctim.Unix())
	return fmt.Sprintf("%d %d %d %d %d", s.Dev, s.Ino, s.Size, s.Mtim.Nano(), s.Ctim.Nano()), time.Since(changed) > settle
}

// sumPath is where the sum of a file is.
func (c *cache) sumPath(key string) string { return filepath.Join(c.dir, hexSum([]byte(key))+".sum") }

// sum returns the kept sum of a file.
func (c *cache) sum(key string) (sum [sha256.Size]byte, known bool) {
	r := c.load(c.sumPath(key), sha256.Size)
	if r == nil {
		return sum, false
	}
	defer r.close()
	return sum, copy(sum[:], r.bytes()[:r.size]) == len(sum)
}

// keepSum keeps the sum of a file. Without it the file is read again, and that is all.
func (c *cache) keepSum(key string, sum [sha256.Size]byte) { _ = c.keep(c.sumPath(key), sum[:]) }

// maxDescription is the size of the longest description, in bytes: of tensors with names.
const maxDescription = 1 << 20

// load returns what is in a file, nil if that is not an intact file of ours: only a
// regular file that no other user can write is taken.
func (c *cache) load(path string, limit int64) *region {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || !ours(info) || info.Size() <= sha256.Size || info.Size() > limit+sha256.Size {
		return nil
	}
	r, err := newRegion(info.Size(), false)
	if err != nil {
		return nil
	}
	b := r.bytes()[:info.Size()]
	if _, err := io.ReadFull(file, b); err == nil && c.intact(file, b) {
		r.size = int64(len(b) - sha256.Size)
		return r
	}
	r.close()
	return nil
}

// intact reports whether bytes of a file of ours end with the sum of the others. A file that
// was found to be intact and has not changed since is not summed again.
func (c *cache) intact(file *os.File, b []byte) bool {
	kept, end := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if len(kept) < worthKnowing {
		sum := sumOf(kept)
		return bytes.Equal(sum[:], end)
	}
	key, settled := fileKey(file)
	if sum, known := c.sum(key); known {
		return bytes.Equal(sum[:], end)
	}
	sum := sumOf(kept)
	if !bytes.Equal(sum[:], end) {
		return false
	}
	if settled {
		c.keepSum(key, sum)
	}
	return true
}

// worthKnowing is how long a file must be for its sum to be kept: that of a short one is as
// soon made as read.
const worthKnowing = 1 << 20

// ours reports whether a file is regular, has one name, belongs to this user or root,
// and is writable by its owner alone.
func ours(info os.FileInfo) bool {
	stat := info.Sys().(*syscall.Stat_t)
	return info.Mode().IsRegular() && info.Mode().Perm()&0o022 == 0 && stat.Nlink == 1 &&
		(stat.Uid == 0 || int(stat.Uid) == os.Geteuid())
}

// keep writes something and its sha256 to path: first to a temporary file, which it then
// renames.
func (c *cache) keep(path string, what []byte) error {
	file, err := os.CreateTemp(c.dir, "keep-")
	if err != nil {
		return fmt.Errorf("make file: %w", errors.Unwrap(err)) // without the machine's own path
	}
	sum := sumOf(what)
	_, first := file.Write(what)
	_, second := file.Write(sum[:])
	if err = errors.Join(first, second, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
