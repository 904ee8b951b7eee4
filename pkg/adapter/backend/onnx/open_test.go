//go:build linux && !static

package onnx

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

// modelRoot lays out a model directory with one model "good" and, beside the
// directory, what must never be read.
func modelRoot(t *testing.T) (root string) {
	t.Helper()
	top := t.TempDir()
	root = filepath.Join(top, "models")
	writeModel(t, root, "good", []byte("version 1"), "")
	writeModel(t, root, "../outside", []byte("secret"), "")
	return root
}

func TestOnlyPlainFilesInsideTheRootAreRead(t *testing.T) {
	at := func(root, name string) string { return filepath.Join(root, name, "1", modelFile) }
	folder := func(t *testing.T, root, name string) {
		must(t, os.MkdirAll(filepath.Dir(at(root, name)), 0o755))
	}
	tests := []struct {
		name  string
		path  string
		spoil func(t *testing.T, root string)
		want  protocol.Code
	}{
		{"plain", "good", nil, protocol.OK},
		{"with its version", "good/1", nil, protocol.OK},
		{"empty path", "", nil, protocol.InvalidModelPath},
		{"parent", "..", nil, protocol.InvalidModelPath},
		{"climbs out", "../outside", nil, protocol.InvalidModelPath},
		{"climbs out after a name", "good/../../outside", nil, protocol.InvalidModelPath},
		{"absolute", "/etc/passwd", nil, protocol.InvalidModelPath},
		{"dot", ".", nil, protocol.InvalidModelPath},
		{"a zero byte", "good\x00", nil, protocol.InvalidModelPath},
		{"a zero byte in the version", "good/1\x00", nil, protocol.InvalidModelPath},
		{"letters beyond ASCII", "gööd", nil, protocol.InvalidModelPath},
		{"bytes that are no text", "good\xff", nil, protocol.InvalidModelPath},
		{"digits of another script", "good/\uff11", nil, protocol.InvalidModelPath},
		{"a backslash", `good\1`, nil, protocol.InvalidModelPath},
		{"a name of a megabyte", strings.Repeat("a", 1<<20), nil, protocol.InvalidModelPath},
		{"a version of a megabyte", "good/" + strings.Repeat("1", 1<<20), nil, protocol.InvalidModelPath},
		{"climbs out after a version", "good/1/../..", nil, protocol.InvalidModelPath},
		{"version with a sign", "good/+1", nil, protocol.InvalidModelPath},
		{"an open file of this process", "link", func(t *testing.T, root string) {
			folder(t, root, "link")
			must(t, os.Symlink("/proc/self/fd/0", at(root, "link")))
		}, protocol.InvalidModelPath},
		{"folder linked to this process", "link", func(t *testing.T, root string) {
			must(t, os.Symlink("/proc/self/cwd", filepath.Join(root, "link")))
		}, protocol.InvalidModelPath},
		{"version linked to outside", "link", func(t *testing.T, root string) {
			must(t, os.MkdirAll(filepath.Join(root, "link"), 0o755))
			must(t, os.Symlink("../../outside/1", filepath.Join(root, "link", "1")))
		}, protocol.InvalidModelPath},
		{"the root is a link", "good", func(t *testing.T, root string) { // whoever runs the worker may say so
			must(t, os.Rename(root, root+"-2"))
			must(t, os.Symlink(root+"-2", root))
		}, protocol.OK},
		{"the root is gone", "good", func(t *testing.T, root string) { must(t, os.RemoveAll(root)) }, protocol.ModelNotFound},
		{"the root is a file", "good", func(t *testing.T, root string) {
			must(t, os.RemoveAll(root))
			must(t, os.WriteFile(root, nil, 0o644))
		}, protocol.InvalidModelPath},
		{"ends in a slash", "good/", nil, protocol.InvalidModelPath},
		{"a file for a version", "good/1/model.onnx", nil, protocol.InvalidModelPath},
		{"version 0", "good/0", nil, protocol.InvalidModelPath},
		{"version with a zero before", "good/01", nil, protocol.InvalidModelPath},
		{"negative version", "good/-1", nil, protocol.InvalidModelPath},
		{"version that is no number", "good/latest", nil, protocol.InvalidModelPath},
		{"version that overflows", "good/99999999999999999999", nil, protocol.InvalidModelPath},
		{"version that is not there", "good/2", nil, protocol.ModelNotFound},
		{"unknown", "nobody", nil, protocol.ModelNotFound},
		{"no version at all", "bare", func(t *testing.T, root string) {
			must(t, os.MkdirAll(filepath.Join(root, "bare", "v1"), 0o755))
		}, protocol.ModelNotFound},
		{"a file for the model's folder", "flat", func(t *testing.T, root string) {
			must(t, os.WriteFile(filepath.Join(root, "flat"), nil, 0o644))
		}, protocol.InvalidModelPath},
		{"folder linked to outside", "link", func(t *testing.T, root string) {
			must(t, os.Symlink("../outside", filepath.Join(root, "link")))
		}, protocol.InvalidModelPath},
		{"folder linked to outside by an absolute path", "link", func(t *testing.T, root string) {
			must(t, os.Symlink(filepath.Join(filepath.Dir(root), "outside"), filepath.Join(root, "link")))
		}, protocol.InvalidModelPath},
		{"file linked to outside", "link", func(t *testing.T, root string) {
			folder(t, root, "link")
			must(t, os.Symlink("../../../outside/1/model.onnx", at(root, "link")))
		}, protocol.InvalidModelPath},
		{"dangling link", "link", func(t *testing.T, root string) {
			folder(t, root, "link")
			must(t, os.Symlink("nothing", at(root, "link")))
		}, protocol.ModelNotFound},
		{"link that goes in circles", "link", func(t *testing.T, root string) {
			folder(t, root, "link")
			must(t, os.Symlink(modelFile, at(root, "link")))
		}, protocol.InvalidModelPath},
		{"link to inside", "link", func(t *testing.T, root string) {
			must(t, os.Symlink("good", filepath.Join(root, "link")))
		}, protocol.OK},
		{"second hard link", "hard", func(t *testing.T, root string) {
			folder(t, root, "hard")
			must(t, os.Link(filepath.Join(root, "../outside/1/model.onnx"), at(root, "hard")))
		}, protocol.InvalidModelPath},
		{"FIFO", "pipe", func(t *testing.T, root string) {
			folder(t, root, "pipe")
			must(t, unix.Mkfifo(at(root, "pipe"), 0o644))
		}, protocol.InvalidModelPath},
		{"socket", "sock", func(t *testing.T, root string) {
			folder(t, root, "sock")
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			must(t, err)
			defer unix.Close(fd)
			t.Chdir(filepath.Dir(at(root, "sock"))) // addresses are short
			must(t, unix.Bind(fd, &unix.SockaddrUnix{Name: modelFile}))
		}, protocol.InvalidModelPath},
		{"link to a device", "dev", func(t *testing.T, root string) {
			folder(t, root, "dev")
			must(t, os.Symlink("/dev/zero", at(root, "dev")))
		}, protocol.InvalidModelPath},
		{"device", "dev", func(t *testing.T, root string) {
			folder(t, root, "dev")
			err := unix.Mknod(at(root, "dev"), unix.S_IFCHR|0o644, int(unix.Mkdev(1, 5)))
			if errors.Is(err, unix.EPERM) { // it takes root to make one
				t.Log("a socket stands for the device: this user may not make devices")
				err = unix.Mknod(at(root, "dev"), unix.S_IFSOCK|0o644, 0)
			}
			must(t, err)
		}, protocol.InvalidModelPath},
		{"folder for the file", "dir", func(t *testing.T, root string) {
			must(t, os.MkdirAll(at(root, "dir"), 0o755))
		}, protocol.InvalidModelPath},
		{"too large", "big", func(t *testing.T, root string) {
			writeModel(t, root, "big", make([]byte, 101), "")
		}, protocol.ModelTooLarge},
		{"model.yaml that is too large", "good", func(t *testing.T, root string) {
			writeModel(t, root, "good", nil, strings.Repeat("#", maxConfig+1))
		}, protocol.ModelTooLarge},
		{"model.yaml that is a FIFO", "good", func(t *testing.T, root string) {
			must(t, unix.Mkfifo(filepath.Join(root, "good", configFile), 0o644))
		}, protocol.InvalidModelPath},
		{"model.yaml that is a folder", "good", func(t *testing.T, root string) {
			must(t, os.Mkdir(filepath.Join(root, "good", configFile), 0o755))
		}, protocol.InvalidModelPath},
		{"model.yaml with a second hard link", "good", func(t *testing.T, root string) {
			must(t, os.Link(filepath.Join(root, "../outside/1/model.onnx"), filepath.Join(root, "good", configFile)))
		}, protocol.InvalidModelPath},
		{"model.yaml linked to outside", "good", func(t *testing.T, root string) {
			must(t, os.Symlink("../../outside/1/model.onnx", filepath.Join(root, "good", configFile)))
		}, protocol.InvalidModelPath},
		{"model.yaml that says nonsense", "good", func(t *testing.T, root string) {
			writeModel(t, root, "good", []byte("x"), "run: fast\n")
		}, protocol.ModelCorrupt},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := modelRoot(t)
			if test.spoil != nil {
				test.spoil(t, root)
			}
			src, refusal := readSource(root, test.path, pin{}, 100, &cache{dir: t.TempDir()})
			if src != nil {
				defer src.close()
				if got := string(bytesOf(t, src)); got != "version 1" {
					t.Errorf("read %q", got)
				}
			}
			if test.want == protocol.OK && refusal == nil {
				return
			}
			if refusal == nil || refusal.Code != test.want {
				t.Fatalf("got %v, expected %s", refusal, test.want)
			}
			if strings.Contains(refusal.Message, filepath.Dir(root)) {
				t.Errorf("the message tells where the models lie: %s", refusal.Message)
			}
		})
	}
}

// Without a version the highest is taken that holds a model file: neither a folder that is
// still empty, nor a file with a number for its name, nor 007 is one.
func TestTheHighestVersionHoldsAModel(t *testing.T) {
	root := modelRoot(t)
	add := func(version, text string) {
		must(t, os.MkdirAll(filepath.Join(root, "good", version), 0o755))
		must(t, os.WriteFile(filepath.Join(root, "good", version, modelFile), []byte(text), 0o644))
	}
	add("3", "version 3")
	add("007", "no version")
	must(t, os.Mkdir(filepath.Join(root, "good", "9"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "good", "10"), []byte("a file"), 0o644))
	src, refusal := readSource(root, "good", pin{}, 100, &cache{dir: t.TempDir()})
	if refusal != nil {
		t.Fatal(refusal)
	}
	defer src.close()
	if got := string(bytesOf(t, src)); got != "version 3" || src.version != 3 {
		t.Errorf("read %q as version %d", got, src.version)
	}
	must(t, os.RemoveAll(filepath.Join(root, "good", "1")))
	must(t, os.RemoveAll(filepath.Join(root, "good", "3")))
	if _, refusal := readSource(root, "good", pin{}, 100, &cache{dir: t.TempDir()}); refusal == nil || refusal.Code != protocol.ModelNotFound {
		t.Errorf("without any version: %v", refusal)
	}
}

// What was loaded is what is loaded again, whatever came beside it; where it is no more the
// same, the error says so.
func TestWhatIsPinnedIsReadOrNothing(t *testing.T) {
	root := modelRoot(t)
	read := func(path string, pinned pin) (string, *protocol.Error) {
		src, refusal := readSource(root, path, pinned, 100, &cache{dir: t.TempDir()})
		if refusal != nil {
			return "", refusal
		}
		defer src.close()
		return fmt.Sprintf("%d %s", src.version, bytesOf(t, src)), nil
	}
	expect := func(path string, pinned pin, want string, code protocol.Code) {
		t.Helper()
		if got, refusal := read(path, pinned); got != want || refusal != nil && refusal.Code != code || refusal == nil && code != protocol.OK {
			t.Errorf("%s as %+v: %q and %v, expected %q and %s", path, pinned, got, refusal, want, code)
		}
	}
	src, refusal := readSource(root, "good", pin{}, 100, &cache{dir: t.TempDir()})
	if refusal != nil {
		t.Fatal(refusal)
	}
	src.close()
	first := pin{1, src.digest}
	must(t, os.MkdirAll(filepath.Join(root, "good", "2"), 0o755))
	must(t, os.WriteFile(filepath.Join(root, "good", "2", modelFile), []byte("version 2"), 0o644))
	expect("good", pin{}, "2 version 2", protocol.OK)
	expect("good", first, "1 version 1", protocol.OK)
	expect("good", pin{digest: src.digest}, "1 version 1", protocol.OK) // stored before versions were
	expect("good/2", pin{version: 1}, "2 version 2", protocol.OK)       // the path has the last word
	expect("good", pin{2, src.digest}, "", protocol.ModelChanged)
	expect("good", pin{5, src.digest}, "", protocol.ModelNotFound)
	configure := func(text string) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(root, "good", configFile), []byte(text), 0o644))
	}
	says := func(pinned pin, want string) {
		t.Helper()
		if _, refusal := read("good", pinned); refusal == nil || refusal.Code != protocol.ModelChanged || !strings.Contains(refusal.Message, want) {
			t.Errorf("%v, expected MODEL_CHANGED and %q", refusal, want)
		}
	}
	configure("# nothing is set\n")
	expect("good", first, "1 version 1", protocol.OK)
	configure("max_batch: 2\n")
	says(first, "good/model.yaml: the model has a configuration, and had none (good/1/model.onnx is the same)")
	src, refusal = readSource(root, "good", pin{version: 1}, 100, &cache{dir: t.TempDir()})
	if refusal != nil {
		t.Fatal(refusal)
	}
	src.close()
	two := pin{1, src.digest}
	sum := sha256.Sum256([]byte("version 1"))
	before := pin{1, hexSum(append(sum[:], "max_batch: 2\n"...))} // as earlier versions stored it
	expect("good", before, "1 version 1", protocol.OK)
	configure("{max_batch: 2} # written in another way\n")
	expect("good", two, "1 version 1", protocol.OK)
	configure("{max_batch: 2, inputs: {x: [3]}}\n")
	says(two, "good/model.yaml: the model's configuration is another")
	must(t, os.Remove(filepath.Join(root, "good", configFile)))
	says(two, "good/model.yaml: the model has no configuration, and had one")
	must(t, os.WriteFile(filepath.Join(root, "good", "1", modelFile), []byte("version 1+"), 0o644))
	says(first, "good/1/model.onnx: its digest is ")
}

// A file is as long as it was when it was opened: what is added is not read, and
// what is missing is an error. What the name means meanwhile does not matter.
func TestAFileThatChangesWhileItIsRead(t *testing.T) {
	tests := map[string]struct {
		change func(t *testing.T, path string)
		want   string
	}{
		"grows":      {func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("version 1 and more"), 0o644)) }, "version 1"},
		"shrinks":    {func(t *testing.T, path string) { must(t, os.Truncate(path, 3)) }, ""},
		"is removed": {func(t *testing.T, path string) { must(t, os.Remove(path)) }, "version 1"},
		"becomes a link": {func(t *testing.T, path string) {
			must(t, os.Remove(path))
			must(t, os.Symlink("/etc/passwd", path))
		}, "version 1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			root := modelRoot(t)
			dir, err := os.OpenRoot(root)
			must(t, err)
			defer dir.Close()
			file, size, refusal := openFile(dir, "good/1/"+modelFile, 100)
			if refusal != nil {
				t.Fatal(refusal)
			}
			defer file.Close()
			test.change(t, filepath.Join(root, "good/1", modelFile))
			r, refusal := readModel(file, size)
			if test.want == "" {
				if refusal == nil || refusal.Code != protocol.ModelCorrupt {
					t.Errorf("got %v, expected MODEL_CORRUPT", refusal)
				}
				return
			}
			if refusal != nil {
				t.Fatal(refusal)
			}
			defer r.close()
			if got := string(r.bytes()[:size]); got != test.want {
				t.Errorf("read %q", got)
			}
		})
	}
}

func TestTheHighestVersionIsTaken(t *testing.T) {
	root := modelRoot(t)
	for _, version := range []string{"9", "10", "011", "latest"} {
		dir := filepath.Join(root, "good", version)
		must(t, os.MkdirAll(dir, 0o755))
		must(t, os.WriteFile(filepath.Join(dir, modelFile), []byte("version "+version), 0o644))
	}
	src, refusal := readSource(root, "good", pin{}, 100, &cache{dir: t.TempDir()})
	if refusal != nil {
		t.Fatal(refusal)
	}
	defer src.close()
	if got := string(bytesOf(t, src)); got != "version 10" {
		t.Errorf("read %q", got)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Only what a load would take is a model.
func TestModelsAreWhatCanBeLoaded(t *testing.T) {
	root := modelRoot(t)
	writeModel(t, root, "also", []byte("version 1"), "")
	writeModel(t, root, ".git", []byte("no name"), "")
	writeModel(t, root, "Capital.v1", []byte("called capital-v1"), "")
	writeModel(t, root, "no name", []byte("no name"), "")
	writeModel(t, root, "empty-file", nil, "")
	for _, dir := range []string{"empty", "notes/draft", "filling/1", "odd/1/model.onnx"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "file"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "../outside"), filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if got := Models(root); !slices.Equal(got, []string{"Capital.v1", "also", "good"}) {
		t.Errorf("models %v", got)
	}
	if got := Models(filepath.Join(root, "nowhere")); got != nil {
		t.Errorf("models of no directory: %v", got)
	}
}

// bytesOf returns the bytes of a source's file.
func bytesOf(t testing.TB, s *source) []byte {
	t.Helper()
	bytes, refusal := s.read()
	if refusal != nil {
		t.Fatal(refusal)
	}
	return bytes
}

func writeBytes(t testing.TB, path, text string) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, []byte(text), 0o644))
}

// settled waits until a file is old enough for its sum to be kept.
func settled(t *testing.T, path string) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, is := fileKey(file); is {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not get old", path)
		}
	}
}

// A file that is known and unchanged is not read; one that changed is, also if its length
// and its times are what they were.
func TestAnUnchangedFileIsNotReadAgain(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := filepath.Join(root, "m", "1", modelFile)
	writeBytes(t, path, "as it was")
	kept := &cache{dir: t.TempDir()}
	read := func() *source {
		t.Helper()
		src, refusal := readSource(root, "m", pin{}, 100, kept)
		if refusal != nil {
			t.Fatal(refusal)
		}
		t.Cleanup(src.close)
		return src
	}
	if src := read(); src.model == nil {
		t.Error("a new file was not read")
	}
	if src := read(); src.model == nil {
		t.Error("a file that changed a moment ago was not read")
	}
	settled(t, path)
	first := read()
	again := read()
	if again.model != nil || again.sum != first.sum || again.digest != first.digest {
		t.Errorf("%v and %v; the known file was read: %v", first.digest, again.digest, again.model != nil)
	}
	if got := string(bytesOf(t, again)); got != "as it was" {
		t.Errorf("it holds %q", got)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	writeBytes(t, path, "as it is!")
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if src := read(); src.model == nil || src.digest == first.digest {
		t.Error("the changed file was not read")
	}
	if _, refusal := again.read(); refusal != nil {
		t.Errorf("what was read is not kept: %v", refusal)
	}
}

// Bytes that are needed later have the sum by which the model was known.
func TestAFileThatChangesWhileItIsLoadedIsRefused(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	path := filepath.Join(root, "m", "1", modelFile)
	writeBytes(t, path, "as it was")
	kept := &cache{dir: t.TempDir()}
	settled(t, path)
	for range 2 {
		src, refusal := readSource(root, "m", pin{}, 100, kept)
		if refusal != nil {
			t.Fatal(refusal)
		}
		defer src.close()
		if src.model == nil {
			writeBytes(t, path, "as it is!")
			if _, refusal := src.read(); refusal == nil || refusal.Code != protocol.ModelChanged {
				t.Errorf("it was read: %v", refusal)
			}
			return
		}
	}
	t.Error("the known file was read")
}
