//go:build linux && !static

package onnx

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

// modelFile is what a model's file is called, unless a config.pbtxt says otherwise.
const modelFile = "model.onnx"

// source is a model of the model directory. Its file is read whole, once, unless it is known
// and nobody needs its bytes.
type source struct {
	settings
	version int
	others  []int // versions that the policy of a config.pbtxt selects too
	file    *os.File
	length  int64   // of the file
	model   *region // its bytes, nil until they are read
	// sum is the sha256 of the model's file, digest protocol.ModelSpec's: of that file and,
	// after a "-", of what is set beside it. textDigest is what earlier versions of Clockwork
	// took for it.
	sum                [sha256.Size]byte
	digest, textDigest string
}

func (s *source) close() {
	if s.model != nil {
		s.model.close()
	}
	s.file.Close()
}

// read returns the model's bytes. If its sum is known, they have that sum.
func (s *source) read() ([]byte, *protocol.Error) {
	if s.model != nil {
		return s.model.bytes()[:s.length], nil
	}
	model, refusal := readModel(s.file, s.length)
	if refusal != nil {
		return nil, refusal
	}
	s.model = model
	bytes := model.bytes()[:s.length]
	if s.sum != ([sha256.Size]byte{}) && sumOf(bytes) != s.sum {
		return nil, protocol.Errorf(protocol.ModelChanged, "the model file changed while it was loaded")
	}
	return bytes, nil
}

// pin is what was loaded before, of the model at a path: the version, 0 for any, and the
// digest, "" for any.
type pin struct {
	version int
	digest  string
}

// maxVersions bounds the versions that are compared with a digest whose version is not
// known: models that were stored before versions were.
const maxVersions = 16

// readSource reads the model at "name" or "name/version" below root, or what is pinned of
// it; without a version it takes the highest. The model's bytes are read once, so that the
// checked bytes are the ones that run. A file whose sum is kept is not read to know it.
func readSource(root, where string, pinned pin, maxFile int64, kept *cache) (*source, *protocol.Error) {
	name, version, refusal := splitPath(where)
	if refusal != nil {
		return nil, refusal
	}
	dir, failure := os.OpenRoot(root)
	if failure != nil {
		return nil, pathError(where, failure)
	}
	defer dir.Close()
	set := readSettings(dir, name)
	if version == 0 {
		version = pinned.version
	}
	versions := []int{version}
	if version == 0 {
		if versions, refusal = set.versions(dir, name); refusal != nil {
			return nil, refusal
		}
	}
	var others []int
	if set.config.triton != nil {
		others = versions[1:]
	}
	if pinned.digest == "" {
		versions = versions[:1]
	}
	var found []string
	for _, version := range versions[:min(maxVersions, len(versions))] {
		src, refusal := set.readVersion(dir, name, version, maxFile, kept)
		if refusal != nil {
			return nil, refusal
		}
		if pinned.digest == src.textDigest {
			src.digest = pinned.digest
		}
		if pinned.digest == "" || src.digest == pinned.digest {
			src.others = others
			return src, nil
		}
		src.close()
		found = append(found, src.changed(name, pinned.digest))
	}
	return nil, protocol.Errorf(protocol.ModelChanged, "%s", strings.Join(found, "; "))
}

// changed says which file of a version is no more what was loaded.
func (s *source) changed(name, loaded string) string {
	file := s.modelPath(name, s.version)
	if !protocol.SameFile(s.digest, loaded) {
		return fmt.Sprintf("%s: %s", file, protocol.DigestsDiffer(s.digest, loaded))
	}
	beside := configFile
	if s.config.triton != nil {
		beside = tritonFile + " or " + configFile
	}
	return fmt.Sprintf("%s/%s: %s (%s is the same)", name, beside, protocol.DigestsDiffer(s.digest, loaded), file)
}

// readVersion reads one version of a model.
func (set *settings) readVersion(dir *os.Root, name string, version int, maxFile int64, kept *cache) (*source, *protocol.Error) {
	src := &source{settings: *set, version: version}
	var refusal *protocol.Error
	if src.file, src.length, refusal = openFile(dir, src.modelPath(name, version), maxFile); refusal != nil {
		return nil, together(src.mistaken, refusal)
	}
	if src.mistaken != nil {
		refusal = src.inspect()
	} else {
		refusal = src.identify(kept)
	}
	if src.mistaken != nil || refusal != nil {
		src.close()
		return nil, together(src.mistaken, refusal)
	}
	src.digest = hexSum(src.sum[:])
	if set := src.config.canonical(); set != nil {
		src.digest += "-" + hexSum(set)
	}
	src.textDigest = hexSum(append(src.sum[:], src.text...))
	return src, nil
}

// inspect walks through the model's file, for what is wrong with it.
func (s *source) inspect() *protocol.Error {
	bytes, refusal := s.read()
	if refusal != nil {
		return refusal
	}
	return inspect(bytes)
}

// identify finds the sum of the model's file: the one that was kept of this file, or of its
// bytes.
func (s *source) identify(kept *cache) *protocol.Error {
	key, settled := fileKey(s.file)
	if sum, known := kept.sum(key); known {
		s.sum = sum
		return nil
	}
	bytes, refusal := s.read()
	if refusal != nil {
		return refusal
	}
	s.sum = sumOf(bytes)
	if settled {
		kept.keepSum(key, s.sum)
	}
	return nil
}

// sumOf returns the sha256 of data.
func sumOf(data []byte) (sum [sha256.Size]byte) {
	hash := sha256.New()
	for len(data) > 0 {
		n := min(chunkBytes, len(data))
		hash.Write(data[:n])
		data = data[n:]
	}
	hash.Sum(sum[:0])
	return sum
}

// hexSum returns the hex sha256 of data.
func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
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

// splitPath splits a path into name and version, 0 for none. A version is a number without
// leading zeros.
func splitPath(where string) (name string, version int, refusal *protocol.Error) {
	name, number, found := strings.Cut(where, "/")
	version, valid := parseVersion(number)
	if !validDirectory(name) || found && !valid {
		return "", 0, protocol.Errorf(protocol.InvalidModelPath, "%.80q is not NAME or NAME/VERSION, with a name of [A-Za-z0-9._-] and a number", where)
	}
	return name, version, nil
}

// validDirectory reports whether a directory can be that of a model: up to protocol.MaxName
// bytes of [A-Za-z0-9._-], of which the first is no dot. Without a name of its own the model
// is called protocol.Name of it.
func validDirectory(name string) bool {
	plain := strings.ReplaceAll(strings.ToLower(name), ".", "-")
	return protocol.ValidName(plain) && len(plain) == len(name) && name[0] != '.'
}

func parseVersion(s string) (version int, valid bool) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || strconv.Itoa(n) != s {
		return 0, false
	}
	return n, true
}

// versions returns the versions of a model that may be taken, the highest first: the folders
// with a number that hold a model file, as far as the policy selects them. A folder that is
// still being filled is no version yet, and neither is a file with a number for its name.
func (set *settings) versions(dir *os.Root, name string) ([]int, *protocol.Error) {
	folder, err := dir.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, pathError(name, err)
	}
	defer folder.Close()
	entries, err := folder.Readdirnames(10_000)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, pathError(name, err)
	}
	var versions []int
	for _, entry := range entries {
		n, valid := parseVersion(entry)
		if !valid {
			continue
		}
		if _, err := dir.Lstat(set.modelPath(name, n)); errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		versions = append(versions, n)
	}
	if len(versions) == 0 {
		return nil, protocol.Errorf(protocol.ModelNotFound, "%s holds no version: expected %s", name, set.modelPath(name, 1))
	}
	slices.SortFunc(versions, func(a, b int) int { return b - a })
	if set.config.triton == nil {
		return versions, nil
	}
	served := set.config.triton.Versions.Served(versions)
	if len(served) == 0 {
		return nil, protocol.Errorf(protocol.ModelNotFound, "version_policy in %s/%s selects none of the versions %v", name, tritonFile, versions)
	}
	return served, nil
}

// maxEntries bounds the entries of a model directory that Models reads.
const maxEntries = 10_000

// Models returns the names of the models below root, sorted: those of which a load finds a
// version. Other folders, and files that a load refuses to open, are none.
func Models(root string) (names []string) {
	dir, err := os.OpenRoot(root)
	if err != nil {
		return nil
	}
	defer dir.Close()
	folder, err := dir.Open(".")
	if err != nil {
		return nil
	}
	defer folder.Close()
	entries, _ := folder.Readdirnames(maxEntries) // what was read before an error counts
	for _, name := range entries {
		if validDirectory(name) && isModel(dir, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// isModel reports whether the version that a load would take can be opened.
func isModel(dir *os.Root, name string) bool {
	set := readSettings(dir, name)
	versions, refusal := set.versions(dir, name)
	if refusal != nil {
		return false
	}
	file, size, refusal := openFile(dir, set.modelPath(name, versions[0]), math.MaxInt64)
	if refusal != nil {
		return false
	}
	_ = file.Close() // only read
	return size > 0
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
