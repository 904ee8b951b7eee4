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

	"clockwork/pkg/protocol"
)

// optimizedFormat counts up when what is done before saving changes.
const optimizedFormat = "1"

// optimizedCache keeps optimised graphs in files: the graph, then its sha256. A file
// belongs to one model, head, version of ORT and instruction set. Processes
// may share it, for a file appears whole or not at all.
type optimizedCache struct {
	dir string
	lib *ort
	isa string
}

func (c *optimizedCache) path(digest [sha256.Size]byte, head string) string {
	name := hex.EncodeToString(digest[:]) + "-" + protocol.Name(c.lib.version+"-"+c.isa+"-"+optimizedFormat+head) + ".ort"
	return filepath.Join(c.dir, name)
}

// load returns the cached graph of a model, nil when there is none that is
// whole.
func (c *optimizedCache) load(path string) *region {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil || info.Size() <= sha256.Size {
		return nil
	}
	r, err := newRegion(info.Size(), false)
	if err != nil {
		return nil
	}
	b := r.bytes()[:info.Size()]
	if _, err := io.ReadFull(file, b); err == nil {
		graph, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
		if got := sha256.Sum256(graph); bytes.Equal(got[:], sum) {
			r.size = int64(len(graph))
			return r
		}
	}
	r.close()
	return nil
}

// optimize lets ORT optimise a model and keeps the result at path.
func (c *optimizedCache) optimize(model []byte, path string) (*region, *protocol.Error) {
	work, err := os.MkdirTemp(c.dir, "optimize-")
	if err != nil {
		return nil, protocol.Errorf(protocol.BackendError, "make cache: %v", errors.Unwrap(err))
	}
	defer os.RemoveAll(work)
	saved := filepath.Join(work, "graph")
	s, err := newSession(c.lib, model, optimizeAll, saved)
	if err != nil {
		return nil, protocol.Errorf(protocol.ModelCorrupt, "ONNX Runtime refuses the model: %v", err)
	}
	s.close()
	if err := seal(saved, path); err != nil {
		return nil, protocol.Errorf(protocol.BackendError, "keep the optimised model: %v", err)
	}
	graph := c.load(path)
	if graph == nil {
		return nil, protocol.Errorf(protocol.BackendError, "the optimised model cannot be read back")
	}
	return graph, nil
}

// seal appends its sha256 to a file and renames it into place.
func seal(saved, path string) error {
	file, err := os.OpenFile(saved, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open saved graph: %w", err)
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return fmt.Errorf("read saved graph: %w", err)
	}
	if _, err := file.Write(sum.Sum(nil)); err != nil {
		return fmt.Errorf("write sum: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("close saved graph: %w", err)
	}
	return os.Rename(saved, path)
}
