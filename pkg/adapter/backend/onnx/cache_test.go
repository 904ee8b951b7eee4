//go:build linux && !static

package onnx

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"clockwork/pkg/adapter/backend"
)

// A file of the cache that somebody else may have put there, or that is not
// whole, is not opened: the model is optimised again.
func TestOnlyOurOwnWholeFilesAreTakenFromTheCache(t *testing.T) {
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
			path := cached(t, b, "*.ort")
			test.spoil(t, path)
			graph := b.cache.graph(path, 1<<30)
			if graph != nil {
				graph.close()
			}
			if (graph != nil) != test.taken {
				t.Errorf("taken: %v", graph != nil)
			}
			load(t, b, "affine") // one way or the other
			if graph = b.cache.graph(path, 1<<30); graph == nil {
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

// A model that cannot be kept, as on a full disk, is served all the same, and who watches is
// told why it is not kept: once for its graph, and once for what its trial found.
func TestAModelThatCannotBeKeptIsServed(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "")
	b := withModels(t, root)
	told := watched(b)
	must(t, os.RemoveAll(b.options.CacheDir))
	for i := range 2 {
		d, m := b.Devices()[0], load(t, b, "affine")
		w := loadWeights(t, d, m, 0)
		infer(t, d, m, w, 1, []int{1}, [][]byte{nil})
		evict(t, w)
		for j, what := range []string{"keep the optimised model: ", "keep what the trial of the model found: "} {
			if n := told.await(t, backend.NotKept, 2*i+j); !strings.HasPrefix(n.Text, what) || strings.Contains(n.Text, b.options.CacheDir) {
				t.Errorf("the notice is %+v", n)
			}
		}
	}
}

// A model whose trial is known is not tried again: what is kept of it is what is served. What
// is not whole, or cannot be of a model within the limits, is not taken.
func TestAKnownModelIsNotTriedAgain(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "")
	said := func(change func(*description)) []byte {
		b := withModels(t, root)
		d := load(t, b, "affine").description
		d.Spec.BatchSizes = []int{1}
		change(&d)
		text, err := json.Marshal(d)
		must(t, err)
		return text
	}
	alone := said(func(*description) {})
	tests := map[string]struct {
		file  []byte
		taken bool
	}{
		"found before":       {sealed(alone), true},
		"not sealed":         {alone, false},
		"no description":     {sealed([]byte("{}")), false},
		"no text":            {sealed([]byte{0xff}), false},
		"a batch over limit": {sealed(said(func(d *description) { d.Spec.BatchSizes = []int{32} })), false},
		"without its kinds":  {sealed(said(func(d *description) { d.InputKinds = nil })), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := withModels(t, root)
			tried := load(t, b, "affine").Spec().BatchSizes
			must(t, os.WriteFile(cached(t, b, "*.trial"), test.file, 0o600))
			if got := load(t, b, "affine").Spec().BatchSizes; slices.Equal(got, []int{1}) != test.taken {
				t.Errorf("served at %v, a trial found %v", got, tried)
			}
		})
	}
}

// What another limit, or other inputs, would find is not what is known.
func TestATrialIsKnownForItsLimitsOnly(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "")
	b := withModels(t, root)
	for limit, want := range map[int]int{0: 16, 4: 4, 1: 1} {
		m, err := b.LoadModel(t.Context(), "affine", backend.LoadOptions{MaxBatch: limit})
		must(t, err)
		if sizes := m.Spec().BatchSizes; sizes[len(sizes)-1] != want {
			t.Errorf("up to %d: %v", limit, sizes)
		}
		must(t, m.Close())
	}
}

// sealed returns a file of the cache.
func sealed(what []byte) []byte {
	sum := sha256.Sum256(what)
	return append(what, sum[:]...)
}

// cached returns the only file of this kind that is in the cache.
func cached(t *testing.T, b *Backend, kind string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(b.options.CacheDir, kind))
	must(t, err)
	if len(files) != 1 {
		t.Fatalf("the cache holds %v", files)
	}
	return files[0]
}

// A long file is summed once, until it changes: then its end has to be its sum again.
func TestALongFileIsSummedAgainWhenItChanges(t *testing.T) {
	t.Parallel()
	c := &cache{dir: t.TempDir()}
	path := filepath.Join(c.dir, "long")
	long := bytes.Repeat([]byte("long"), worthKnowing)
	must(t, c.keep(path, long))
	settled(t, path)
	taken := func() bool {
		r := c.load(path, int64(len(long)))
		if r != nil {
			r.close()
		}
		return r != nil
	}
	for range 2 {
		if !taken() {
			t.Fatal("an intact file is not taken")
		}
	}
	if sums, _ := filepath.Glob(filepath.Join(c.dir, "*.sum")); len(sums) != 1 {
		t.Errorf("%d sums are kept of one file", len(sums))
	}
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = file.WriteAt([]byte("g"), 5)
	must(t, errors.Join(err, file.Close()))
	if taken() {
		t.Error("a file that changed is taken")
	}
}

func TestASumInChunksIsTheSum(t *testing.T) {
	data := bytes.Repeat([]byte("sum of it"), chunkBytes/4)
	for _, n := range []int{0, 1, chunkBytes - 1, chunkBytes, chunkBytes + 1, len(data)} {
		if got, want := sumOf(data[:n]), sha256.Sum256(data[:n]); got != want {
			t.Errorf("of %d bytes: %x, want %x", n, got, want)
		}
	}
}
