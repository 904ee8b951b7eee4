//go:build linux && !static

package onnx

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

// optimizedFormat must be increased when our changes to graphs before saving change.
const optimizedFormat = "1"

// optimizedCache stores optimised graphs in files: the graph, then its sha256. The key
// of a file is the model's digest, head, version of ORT and instruction set. Processes
// may share the directory, since a file appears complete or not at all.
type optimizedCache struct {
	dir string
	// version is ONNX Runtime's, isa the instruction set.
	version, isa string
}

func (c *optimizedCache) path(digest [sha256.Size]byte, head string) string {
	name := hex.EncodeToString(digest[:]) + "-" + protocol.Name(c.version+"-"+c.isa+"-"+optimizedFormat+head) + ".ort"
	return filepath.Join(c.dir, name)
}

// load returns the cached graph of a model, nil if there is no intact file of ours: only
// a regular file that no other user can write is opened as a graph.
func (c *optimizedCache) load(path string, limit int64) *region {
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
	if _, err := io.ReadFull(file, b); err == nil {
		graph, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
		if got := sha256.Sum256(graph); bytes.Equal(got[:], sum) && inspect(graph) == nil {
			r.size = int64(len(graph))
			return r
		}
	}
	r.close()
	return nil
}

// ours reports whether a file is regular, has one name, belongs to this user or root,
// and is writable by its owner alone.
func ours(info os.FileInfo) bool {
	stat := info.Sys().(*syscall.Stat_t)
	return info.Mode().IsRegular() && info.Mode().Perm()&0o022 == 0 && stat.Nlink == 1 &&
		(stat.Uid == 0 || int(stat.Uid) == os.Geteuid())
}

// keep writes a graph and its sha256 to path: first to a temporary file, which it then
// renames.
func (c *optimizedCache) keep(path string, graph []byte) error {
	file, err := os.CreateTemp(c.dir, "optimize-")
	if err != nil {
		return fmt.Errorf("make file: %w", errors.Unwrap(err)) // without the machine's own path
	}
	sum := sha256.Sum256(graph)
	_, first := file.Write(graph)
	_, second := file.Write(sum[:])
	if err = errors.Join(first, second, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
