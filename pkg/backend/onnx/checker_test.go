//go:build linux && !static

package onnx

import (
	"context"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/backend"
	"clockwork/pkg/protocol"
)

func TestAGoodModelPassesTheChecker(t *testing.T) {
	_, m := affineBackend(t, func(o *Options) { o.Checker = checker(t, "check") })
	if m.Spec().Pages != 1 {
		t.Errorf("spec: %+v", m.Spec())
	}
}

// However the checker ends, the worker lives on and says that the model is
// corrupt.
func TestAModelThatEndsItsCheckerIsCorrupt(t *testing.T) {
	for name, test := range map[string]struct{ behaviour, reason string }{
		"crash":         {"crash", "SIGSEGV"},
		"out of memory": {"hungry", "model check failed"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			writeModel(t, root, "affine", affine(0, in, out), "")
			b := withModels(t, root, func(o *Options) { o.Checker = checker(t, test.behaviour) })
			begin := time.Now()
			_, err := b.LoadModel(context.Background(), "affine", backend.LoadOptions{})
			wantCode(t, err, protocol.ModelCorrupt)
			if !strings.Contains(err.Error(), test.reason) || strings.Contains(err.Error(), "goroutine") {
				t.Errorf("%v does not say just %q", err, test.reason)
			}
			if took := time.Since(begin); took > checkerTime {
				t.Errorf("it took %v", took)
			}
		})
	}
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
	file := onnxModel(13, onnxGraph([][]byte{node("NoSuchOperator", []string{"x"}, "y")}, nil,
		[][]byte{openBatch("x", 4)}, [][]byte{valueInfo("y", 1, nil)}))
	writeModel(t, root, "m", file, "")
	b := withModels(t, root, func(o *Options) { o.Checker = checker(t, "check") })
	_, err := b.LoadModel(context.Background(), "m", backend.LoadOptions{})
	wantCode(t, err, protocol.ModelCorrupt)
	if !strings.Contains(err.Error(), "NoSuchOperator") {
		t.Errorf("%v does not name the operator", err)
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
