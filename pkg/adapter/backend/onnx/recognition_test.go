//go:build linux && !static

package onnx

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/protocol"
)

// recognition lays out the real recognition model, with or without its head.
func recognition(t testing.TB, config string) (root string) {
	t.Helper()
	root = t.TempDir()
	if err := (fetch.Fetcher{}).Models(context.Background(), root); err != nil {
		missing(t, "the recognition model", err)
	}
	if config != "" {
		if err := os.WriteFile(filepath.Join(root, fetch.OCRModel, configFile), []byte(config), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const plainConfig = "max_batch: 4\ninputs: {x: [3, 48, 192]}\n"

// plainModel is the file of a model as it is, its weights being constants, in an engine of
// this process.
func plainModel(t testing.TB, file string, m *model) *loaded {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lib := openLibrary(t)
	s, err := newSession(lib, content, optimizeAll, "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	plain := &loaded{lib: lib, session: s, description: m.description}
	plain.nameInputs()
	return plain
}

// runPlain returns the outputs of a batch.
func runPlain(t testing.TB, m *loaded, batch int, input []byte) []byte {
	t.Helper()
	s, refusal := m.generatedBatch(batch)
	if refusal != nil {
		t.Fatal(refusal)
	}
	defer s.close()
	s.tensors.fill(&m.description.Spec, 0, batch, input)
	if err := s.run(nil); err != nil {
		t.Fatal(err)
	}
	return s.tensors.payload(&m.description.Spec, 0, batch)
}

func TestRecognitionLiftedEqualsPlain(t *testing.T) {
	root := recognition(t, plainConfig)
	b := withModels(t, root)
	m := load(t, b, fetch.OCRModel)
	spec := m.Spec()
	if len(m.image.weights) == 0 || spec.WeightsBytes < 10<<20 || spec.Pages < 160 {
		t.Fatalf("too little was lifted: %d weights, %d bytes, %d pages", len(m.image.weights), spec.WeightsBytes, spec.Pages)
	}
	if got := spec.Outputs[0].String(); got != "softmax_11.tmp_0 FP32[24,6625]" || !slices.Equal(spec.BatchSizes, []int{1, 2, 4}) || !spec.AnyBatch {
		t.Fatalf("spec: %+v", spec)
	}
	plain := plainModel(t, filepath.Join(root, "ocr_rec/1/model.onnx"), m)
	d := b.Devices()[0]
	w := loadWeights(t, d, m, 0)
	defer evict(t, w)
	for _, batch := range []int{1, 3, 4} {
		input := randomFloats(uint64(batch), batch*3*48*192)
		want := bytesFloat(runPlain(t, plain, batch, floatBytes(input)))
		got := infer(t, d, m, w, batch, []int{batch}, [][]byte{floatBytes(input)})
		wantClose(t, "scores", bytesFloat(got[0]), want, 1e-5)
	}
}

func TestRecognitionHeadGivesTheBestClassAndItsScore(t *testing.T) {
	full := withModels(t, recognition(t, plainConfig))
	headed := withModels(t, recognition(t, plainConfig+"head: argmax\n"))
	m, h := load(t, full, fetch.OCRModel), load(t, headed, fetch.OCRModel)
	if got := protocol.ShapeString(h.Spec().Outputs[0].Shape); got != "[24,2]" {
		t.Fatalf("shape with the head: %s", got)
	}
	if m.Spec().Digest == h.Spec().Digest {
		t.Error("the head does not change the digest")
	}
	if len(h.image.weights) == 0 {
		t.Fatal("nothing was lifted with the head")
	}
	w, hw := loadWeights(t, full.Devices()[0], m, 0), loadWeights(t, headed.Devices()[1], h, 7)
	defer evict(t, w)
	defer evict(t, hw)
	input := [][]byte{floatBytes(randomFloats(9, 2*3*48*192))}
	scores := bytesFloat(infer(t, full.Devices()[0], m, w, 2, []int{2}, input)[0])
	got := bytesFloat(infer(t, headed.Devices()[1], h, hw, 2, []int{2}, input)[0])
	for step := range 2 * 24 {
		row := scores[step*6625:][:6625]
		best := slices.Max(row)
		wantClose(t, "score", got[step*2+1:][:1], []float32{best}, 1e-5)
		wantClose(t, "score of the class", row[int(got[step*2]):][:1], []float32{best}, 1e-5)
	}
}
