//go:build linux && !static

package onnx

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	bombs "clockwork/pkg/testkit/hostile" // hostile are files here
)

// secret is what stands beside the model directory.
const secret = "outside"

// layouts are names in a model directory, and what links in it point to.
var (
	places = []string{"m", "m/1", "m/2", "m/1/model.onnx", "m/2/model.onnx", "m/model.yaml", "n", "n/1", "n/1/model.onnx", "n/model.yaml"}
	ends   = []string{"m", "n", ".", "..", "../..", "../outside", "../../outside", "../../../outside/1/model.onnx", "../outside/1", "../../outside/1/model.onnx",
		"/", "/proc/self/cwd", "/proc/self/fd", "/dev/zero", "model.onnx", "../model.yaml", "1", "2"}
)

// layOut makes of each three bytes a folder, a file, a link, or a second name of
// what lies outside; what cannot be made is left out.
func layOut(root, outside string, layout []byte) {
	for step := range slices.Chunk(layout[:min(len(layout), 60)], 3) {
		if len(step) < 3 {
			return
		}
		path, end := filepath.Join(root, places[int(step[1])%len(places)]), ends[int(step[2])%len(ends)]
		switch step[0] % 5 {
		case 0:
			_ = os.Mkdir(path, 0o755)
		case 1:
			_ = os.WriteFile(path, []byte("max_batch: 2\n"), 0o644)
		case 2:
			_ = os.Symlink(end, path)
		case 3:
			_ = os.Symlink(outside, path)
		case 4:
			_ = os.Link(outside, path)
		}
	}
}

// FuzzReadSource: whatever path is asked for, in whatever directory with links,
// nothing outside of it is read.
func FuzzReadSource(f *testing.F) {
	file := []byte{0, 0, 0, 0, 1, 0, 1, 3, 0, 1, 5, 0} // m/1/model.onnx and model.yaml
	for _, path := range []string{"m", "m/1", "", "..", "../outside", "m/../../outside", "/etc/passwd", "m\x00", "m/01", "m/1/model.onnx", "m/99999999999999999999", strings.Repeat("m/", 3000)} {
		f.Add(path, file)
	}
	for _, link := range [][]byte{{2, 0, 5}, {2, 0, 3, 2, 1, 5}, {0, 0, 0, 2, 1, 6}, {0, 0, 0, 0, 1, 0, 3, 3, 0}, {0, 0, 0, 0, 1, 0, 4, 3, 0}, {0, 0, 0, 3, 5, 0, 0, 1, 0, 1, 3, 0},
		{2, 0, 11, 0, 1, 0}, {2, 0, 1, 2, 6, 0}, {0, 0, 0, 0, 1, 0, 2, 3, 13}} {
		f.Add("m", link)
	}
	f.Fuzz(func(t *testing.T, path string, layout []byte) {
		top := t.TempDir()
		root, outside := filepath.Join(top, "models"), filepath.Join(top, "outside", "1", modelFile)
		must(t, os.MkdirAll(root, 0o755))
		must(t, os.MkdirAll(filepath.Dir(outside), 0o755))
		must(t, os.WriteFile(outside, []byte(secret), 0o644))
		layOut(root, outside, layout)
		src, refusal := readSource(root, path, pin{}, 100, &cache{dir: t.TempDir()})
		if refusal != nil {
			if !slices.Contains([]protocol.Code{protocol.InvalidModelPath, protocol.ModelNotFound, protocol.ModelCorrupt, protocol.ModelTooLarge}, refusal.Code) {
				t.Fatalf("%q: %v", path, refusal)
			}
			if strings.Contains(refusal.Message, top) || strings.Contains(refusal.Message, secret) && !strings.Contains(path, secret) {
				t.Fatalf("%q: the error tells what lies where: %s", path, refusal.Message)
			}
			return
		}
		defer src.close()
		if !validDirectory(strings.SplitN(path, "/", 2)[0]) || bytes.Contains(bytesOf(t, src), []byte(secret)) || strings.Contains(src.text, secret) {
			t.Fatalf("%q reads %q and %q", path, bytesOf(t, src), src.text)
		}
	})
}

// FuzzConfig: a model.yaml says what a model can be run with, or is refusal with
// its line.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{"", "max_batch: 8\ninputs: {x: [3, 48, 192]}\nhead: argmax\n", "max_batch: 8\nmax_batch: 8", "inputs: {x: [], y: [1]}", "inputs: {x: [1]", "inputs: {\"x\": [2147483647,2147483647]}",
		"inputs: {x: [0]}", "inputs: {x: [-1]}", "max_batch: 99999999999999999999", "# only\n", "a: &a [*a]", "head: !!python/object", "inputs: {" + strings.Repeat("x: [1],", 200) + "}",
		"inputs: {x: [" + strings.Repeat("1,", 500) + "1]}", strings.Repeat(":\n", 1000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bombs.Within(t, 256*len(text)+1<<20, "a model.yaml", func() {
			c, refusal := parseConfig(text, nil)
			if refusal != nil {
				if refusal.Code != protocol.ModelCorrupt || !strings.HasPrefix(refusal.Message, "model.yaml line ") || len(refusal.Message) > 8<<10 {
					t.Fatal(refusal)
				}
				return
			}
			if c.maxBatch < 1 || c.maxBatch > maxBatchLimit || c.head != "" && c.head != headArgmax {
				t.Fatalf("%+v", c)
			}
			for name, shape := range c.inputs {
				if name == "" || shape == nil || len(shape) > maxRank || slices.ContainsFunc(shape, func(d int64) bool { return d < 1 || d > math.MaxInt32 }) {
					t.Fatalf("%q has the shape %v", name, shape)
				}
			}
		})
	})
}

// FuzzLift: of a model that passed, the weights go to a block no larger than the
// file and its gaps, and what is left passes again and has none to lift.
func FuzzLift(f *testing.F) {
	f.Add(affine(0, 8, 8))
	f.Add(affine(0, 32, 32))
	f.Add(nested(3))
	f.Add(withTensor(onnxTensor("w", []int64{600}, make([]float32, 600))))
	f.Fuzz(func(t *testing.T, file []byte) {
		if inspect(file) != nil {
			return
		}
		var l externalized
		var err error
		bombs.Within(t, 64*len(file)+1<<20, "a model", func() { l, err = externalizeWeights(file) })
		if err != nil {
			return
		}
		if l.size < 0 || l.size > int64(len(file))+int64(len(l.weights))*weightAlign {
			t.Fatalf("%d bytes of weights in a file of %d", l.size, len(file))
		}
		l.fill(make([]byte, l.size))
		if refusal := inspect(l.shell); refusal != nil {
			t.Fatalf("what is left is refusal: %v", refusal)
		}
		if again, err := externalizeWeights(l.shell); err != nil || len(again.weights) > 0 || !bytes.Equal(again.shell, l.shell) {
			t.Fatalf("%d more weights, %v", len(again.weights), err)
		}
	})
}

// FuzzWire: the fields of a message are all of it, and nothing else.
func FuzzWire(f *testing.F) {
	f.Add(affine(0, 8, 8))
	f.Add([]byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Add([]byte{0x08, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x02})
	f.Add([]byte{0x0b})
	f.Fuzz(func(t *testing.T, message []byte) {
		var whole []byte
		var numbers []int64
		err := eachField(message, func(f field) error {
			whole = append(whole, f.whole...)
			if f.number < 1 || len(f.content) > len(message) {
				t.Fatalf("%+v", f)
			}
			numbers, _ = varints(numbers[:0], f) // what is no list of numbers gives none
			if len(numbers) > maxRank+1 {
				t.Fatalf("a list of %d numbers", len(numbers))
			}
			return nil
		})
		if err == nil && !bytes.Equal(whole, message) || !bytes.HasPrefix(message, whole) {
			t.Fatalf("%x is read as %x", message, whole)
		}
	})
}
