//go:build linux && !static

package onnx

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

func TestAGoodModelPassesTheChecker(t *testing.T) {
	_, m := affineBackend(t)
	if m.Spec().Pages != 1 {
		t.Errorf("spec: %+v", m.Spec())
	}
}

// However the checker ends, the worker lives on and says that the model is
// corrupt, or too large.
func TestAModelThatEndsItsCheckerIsCorrupt(t *testing.T) {
	for name, test := range map[string]struct {
		behaviour string
		code      protocol.Code
		reason    string
	}{
		"crash":                     {"crash", protocol.ModelCorrupt, "SIGSEGV"},
		"out of memory":             {"hungry", protocol.ModelCorrupt, "model check failed"},
		"says much, and fails":      {"loud", protocol.ModelCorrupt, "loud loud"},
		"well without a graph":      {"silent", protocol.ModelCorrupt, "wrote no graph"},
		"a graph that is none":      {"nonsense", protocol.ModelCorrupt, "no ONNX model"},
		"a graph without end":       {"endless", protocol.ModelTooLarge, "takes more than"},
		"hang":                      {"hang", protocol.ModelCorrupt, "killed"},
		"hang before its input":     {"deaf", protocol.ModelCorrupt, "killed"},
		"writes a file":             {"writes", protocol.ModelCorrupt, "SIGXFSZ"},
		"leaves a process behind":   {"forks", protocol.ModelCorrupt, "left"},
		"a process holds its pipes": {"forks well", protocol.ModelCorrupt, "wrote no graph"},
	} {
		t.Run(name, func(t *testing.T) {
			b := checkedBy(t, test.behaviour)
			if strings.HasPrefix(test.reason, "killed") {
				b.options.CheckTime = 200 * time.Millisecond
			}
			_, err := b.LoadModel(context.Background(), "affine", backend.LoadOptions{})
			wantCode(t, err, test.code)
			if !strings.Contains(err.Error(), test.reason) || strings.Contains(err.Error(), "goroutine") || len(err.Error()) > 500 {
				t.Errorf("%v does not say just %q", err, test.reason)
			}
			if kept, err := filepath.Glob(filepath.Join(b.options.CacheDir, "*")); err != nil || len(kept) > 0 {
				t.Errorf("the cache holds %v, %v", kept, err)
			}
			wantNoneLeft(t)
		})
	}
}

// checkedBy is a backend whose checker behaves so, with the affine model.
func checkedBy(t *testing.T, behaviour string) *Backend {
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "")
	return withModels(t, root, func(o *Options) { o.Checker = checker(t, behaviour) })
}

// wantNoneLeft checks that no checker is left, nor a process that one started.
func wantNoneLeft(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := checkers(t)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left behind: %v", left)
		}
	}
}

// checkers are the processes of checkers of this test binary that are alive.
func checkers(t *testing.T) (alive []string) {
	t.Helper()
	self := checker(t, "")
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, file := range commands {
		line, err := os.ReadFile(file) // of a zombie it is empty
		if err == nil && strings.HasPrefix(string(line), self[0]+"\x00"+self[1]+"\x00") {
			alive = append(alive, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return alive
}

// told is what a checker said before it failed.
func told(t *testing.T, behaviour string) string {
	t.Helper()
	_, err := checkedBy(t, behaviour).LoadModel(context.Background(), "affine", backend.LoadOptions{})
	wantCode(t, err, protocol.ModelCorrupt)
	return err.Error()
}

// A checker cannot tell what it does not know, and does what it does within limits.
func TestACheckerKnowsNoSecretsAndHasLimits(t *testing.T) {
	t.Setenv("NATS_URL", "nats://user:secret@broker")
	t.Setenv("CLOCKWORK_NKEY", "/run/secret.nk")
	said := told(t, "tells")
	memory := checkerMemory + checkerTimes*len(affine(0, in, out))
	for _, part := range []string{fmt.Sprintf("memory=%d", memory), fmt.Sprintf("cpu=%d", checkerCPU), "core=0", "file=0", fmt.Sprintf("files=%d", checkerFiles)} {
		if !strings.Contains(said, part) {
			t.Errorf("%q lacks %q", said, part)
		}
	}
	if strings.Contains(said, "it knows") {
		t.Errorf("it has this process's environment: %s", said)
	}
}

func TestACheckerStartsNothingAndReachesNobody(t *testing.T) {
	if said := told(t, "confined"); !strings.HasSuffix(said, "exit status 1 that is all") {
		t.Error(said)
	}
}

// A load that is cancelled ends its checker; that is not the model's fault.
func TestACancelledLoadEndsItsChecker(t *testing.T) {
	b := checkedBy(t, "hang")
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		for len(checkers(t)) == 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err := b.LoadModel(ctx, "affine", backend.LoadOptions{})
	wantCode(t, err, protocol.BackendError)
	wantNoneLeft(t)
}

// A small file that unfolds to more than a device holds is stopped on the way.
func TestAFileThatUnfoldsIsTooLarge(t *testing.T) {
	shape := appendVarint(appendVarint(nil, tensorDims, 1), tensorDataType, 7)
	shape = appendBytes(appendString(shape, tensorName, "shape"), tensorRaw, binary.LittleEndian.AppendUint64(nil, 20<<20))
	file := onnxModel(13, onnxGraph(
		[][]byte{node("ConstantOfShape", []string{"shape"}, "w"), node("Add", []string{"x", "w"}, "y")}, [][]byte{shape},
		[][]byte{openBatch("x", 1)}, [][]byte{valueInfo("y", 1, nil)}))
	root := t.TempDir()
	writeModel(t, root, "m", file, "")
	_, err := withModels(t, root).LoadModel(context.Background(), "m", backend.LoadOptions{})
	wantCode(t, err, protocol.ModelTooLarge)
}

func TestACheckerThatIsMissingIsNotTheModelsFault(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "affine", affine(0, in, out), "")
	b := withModels(t, root, func(o *Options) { o.Checker = []string{"/nowhere/checker"} })
	_, err := b.LoadModel(context.Background(), "affine", backend.LoadOptions{})
	wantCode(t, err, protocol.BackendError)
}

// A file that passes our own look and not ORT's fails in the child, with
// ORT's reason.
func TestWhatTheRuntimeRefusesIsCorrupt(t *testing.T) {
	root := t.TempDir()
	file := onnxModel(13, onnxGraph([][]byte{node("Add", []string{"x", "nowhere"}, "y")}, nil,
		[][]byte{openBatch("x", 4)}, [][]byte{valueInfo("y", 1, nil)}))
	writeModel(t, root, "m", file, "")
	b := withModels(t, root)
	_, err := b.LoadModel(context.Background(), "m", backend.LoadOptions{})
	wantCode(t, err, protocol.ModelCorrupt)
	if !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("%v does not name the input", err)
	}
}

func TestHostileFilesAreCorruptThroughTheBackend(t *testing.T) {
	root := t.TempDir()
	b := withModels(t, root, func(o *Options) { o.Checker = checker(t, "crash") }) // must not be reached
	for name, row := range hostile() {
		writeModel(t, root, "m", row.file, "")
		_, err := b.LoadModel(context.Background(), "m", backend.LoadOptions{})
		t.Run(name, func(t *testing.T) {
			wantCode(t, err, protocol.ModelCorrupt)
			if !strings.Contains(err.Error(), row.reason) {
				t.Errorf("%v does not say %q", err, row.reason)
			}
		})
	}
}
