//go:build linux && !static

package onnx

import (
	"context"
	"crypto/sha256"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// A file of the cache that somebody else may have put there, or that is not
// whole, is not opened: the model is optimised again.
func TestOnlyOurOwnWholeFilesAreTakenFromTheCache(t *testing.T) {
	sealed := func(graph []byte) []byte {
		sum := sha256.Sum256(graph)
		return append(graph, sum[:]...)
	}
	tests := map[string]struct {
		spoil func(t *testing.T, path string)
		taken bool
	}{
		"as it was kept": {func(*testing.T, string) {}, true},
		"read by all":    {func(t *testing.T, path string) { must(t, os.Chmod(path, 0o644)) }, true},
		"gone":           {func(t *testing.T, path string) { must(t, os.Remove(path)) }, false},
		"a bit is wrong": {func(t *testing.T, path string) {
			b, err := os.ReadFile(path)
			must(t, err)
			b[len(b)/2] ^= 1
			must(t, os.WriteFile(path, b, 0o600))
		}, false},
		"cut off":                        {func(t *testing.T, path string) { must(t, os.Truncate(path, 100)) }, false},
		"empty":                          {func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) }, false},
		"a sealed file that is no graph": {func(t *testing.T, path string) { must(t, os.WriteFile(path, sealed([]byte("no graph")), 0o600)) }, false},
		"a sealed graph with external data": {func(t *testing.T, path string) {
			must(t, os.WriteFile(path, sealed(hostile()["external data"].file), 0o600))
		}, false},
		"writable by the group": {func(t *testing.T, path string) { must(t, os.Chmod(path, 0o660)) }, false},
		"writable by all":       {func(t *testing.T, path string) { must(t, os.Chmod(path, 0o602)) }, false},
		"two names":             {func(t *testing.T, path string) { must(t, os.Link(path, path+"-also")) }, false},
		"a link to a whole one": {func(t *testing.T, path string) {
			must(t, os.Rename(path, path+"-also"))
			must(t, os.Symlink(path+"-also", path))
		}, false},
		"a link to a device": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Symlink("/dev/zero", path))
		}, false},
		"a FIFO": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, unix.Mkfifo(path, 0o600))
		}, false},
		"larger than any graph may be": {func(t *testing.T, path string) { must(t, os.Truncate(path, 1<<40)) }, false},
	}
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := withModels(t, root)
			load(t, b, "affine")
			path := onlyFile(t, b.options.CacheDir)
			test.spoil(t, path)
			graph := b.cache.load(path, 1<<30)
			if graph != nil {
				graph.close()
			}
			if (graph != nil) != test.taken {
				t.Errorf("taken: %v", graph != nil)
			}
			load(t, b, "affine") // one way or the other
			if graph = b.cache.load(path, 1<<30); graph == nil {
				t.Fatal("what replaced it is not taken")
			}
			graph.close()
		})
	}
}

// Another user's file is not taken, root's is.
func TestAnotherUsersFileIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(path, nil, 0o600))
	info, err := os.Stat(path)
	must(t, err)
	stat := info.Sys().(*syscall.Stat_t)
	for uid, want := range map[uint32]bool{0: true, uint32(os.Geteuid()): true, 12345: false} {
		stat.Uid = uid
		if got := ours(info); got != want {
			t.Errorf("of user %d: %v", uid, got)
		}
	}
}

// The worker goes on when a model cannot be kept, and says why.
func TestACacheThatCannotBeWrittenIsNotTheModelsFault(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "")
	b := withModels(t, root)
	must(t, os.RemoveAll(b.options.CacheDir))
	_, err := b.LoadModel(context.Background(), "affine", backend.LoadOptions{})
	wantCode(t, err, protocol.BackendError)
}

func onlyFile(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("the cache holds %v", files)
	}
	return files[0]
}
