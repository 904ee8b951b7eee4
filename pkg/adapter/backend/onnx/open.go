//go:build linux && !static

package onnx

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

const (
	modelFile  = "model.onnx"
	configFile = "model.yaml"
	// maxConfig is the largest model.yaml in bytes.
	maxConfig = 64 << 10
)

// source is a model of the model directory, read whole.
type source struct {
	model  *region
	length int64
	config config
	text   string // of model.yaml
}

func (s *source) bytes() []byte { return s.model.bytes()[:s.length] }

// readSource reads the model at "name" or "name/version" below root; without a version
// it takes the highest. The model's bytes are read once, so that the checked bytes are
// the ones that run.
func readSource(root, where string, maxFile int64) (*source, *protocol.Error) {
	name, version, err := splitPath(where)
	if err != nil {
		return nil, err
	}
	dir, failure := os.OpenRoot(root)
	if failure != nil {
		return nil, pathError(where, failure)
	}
	defer dir.Close()
	if version == "" {
		if version, err = latest(dir, name); err != nil {
			return nil, err
		}
	}
	src := &source{}
	text, err := readConfig(dir, path.Join(name, configFile))
	if err != nil {
		return nil, err
	}
	src.text = text
	if src.config, err = parseConfig(text); err != nil {
		return nil, err
	}
	file, size, err := openFile(dir, path.Join(name, version, modelFile), maxFile)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if src.model, err = readModel(file, size); err != nil {
		return nil, err
	}
	src.length = size
	return src, nil
}

// readModel reads exactly size bytes, the file's size when it was opened: bytes added
// later are ignored, missing ones are an error.
func readModel(file io.Reader, size int64) (*region, *protocol.Error) {
	model, err := newRegion(size, false)
	if err != nil {
		return nil, protocol.Errorf(protocol.NoMemory, "%v", err)
	}
	if _, err := io.ReadFull(file, model.bytes()[:size]); err != nil {
		model.close()
		return nil, protocol.Errorf(protocol.ModelCorrupt, "the model file ended before its %d bytes: %v", size, err)
	}
	return model, nil
}

// splitPath splits a path into name and version. A version is a number without leading
// zeros.
func splitPath(where string) (name, version string, err *protocol.Error) {
	name, version, found := strings.Cut(where, "/")
	if !protocol.ValidName(name) || found && !validVersion(version) {
		return "", "", protocol.Errorf(protocol.InvalidModelPath, "%.80q is not NAME or NAME/VERSION, with a name of [a-z0-9_-] and a number", where)
	}
	return name, version, nil
}

func validVersion(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n > 0 && strconv.Itoa(n) == s
}

func latest(dir *os.Root, name string) (string, *protocol.Error) {
	folder, err := dir.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_DIRECTORY, 0)
	if err != nil {
		return "", pathError(name, err)
	}
	defer folder.Close()
	entries, err := folder.Readdirnames(10_000)
	if err != nil && !errors.Is(err, io.EOF) {
		return "", pathError(name, err)
	}
	highest := 0
	for _, entry := range entries {
		if n, _ := strconv.Atoi(entry); validVersion(entry) && n > highest {
			highest = n
		}
	}
	if highest == 0 {
		return "", protocol.Errorf(protocol.ModelNotFound, "%s holds no version: expected %s/1/%s", name, name, modelFile)
	}
	return strconv.Itoa(highest), nil
}

// openFile opens a regular file with only one hard link, without ever blocking.
func openFile(dir *os.Root, name string, limit int64) (*os.File, int64, *protocol.Error) {
	file, err := dir.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, pathError(name, err)
	}
	info, err := file.Stat()
	refusal := pathError(name, err)
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		refusal = protocol.Errorf(protocol.InvalidModelPath, "%s is no regular file", name)
	case info.Sys().(*syscall.Stat_t).Nlink != 1:
		refusal = protocol.Errorf(protocol.InvalidModelPath, "%s has more than one hard link; copy it instead", name)
	case info.Size() > limit:
		refusal = protocol.Errorf(protocol.ModelTooLarge, "%s has %d bytes, the limit is %d", name, info.Size(), limit)
		refusal.Got, refusal.Limit = info.Size(), limit
	default:
		return file, info.Size(), nil
	}
	file.Close()
	return nil, 0, refusal
}

func readConfig(dir *os.Root, name string) (string, *protocol.Error) {
	file, size, refusal := openFile(dir, name, maxConfig)
	if refusal != nil && refusal.Code == protocol.ModelNotFound {
		return "", nil
	}
	if refusal != nil {
		return "", refusal
	}
	defer file.Close()
	text := make([]byte, size)
	if _, err := io.ReadFull(file, text); err != nil {
		return "", protocol.Errorf(protocol.ModelCorrupt, "read %s: %v", name, err)
	}
	return string(text), nil
}

// pathError distinguishes a missing file (MODEL_NOT_FOUND) from one that may not be
// opened (INVALID_MODEL_PATH): a link that leads out of the model directory, a folder
// for a file, no permission.
func pathError(name string, err error) *protocol.Error {
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return protocol.Errorf(protocol.ModelNotFound, "there is no %s in the model directory", name)
	}
	var inner *fs.PathError
	if errors.As(err, &inner) {
		err = inner.Err // without the machine's own path
	}
	return protocol.Errorf(protocol.InvalidModelPath, "%s: %v", name, err)
}
