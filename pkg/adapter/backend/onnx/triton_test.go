//go:build linux && !static

package onnx

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// repository writes a model as a Triton repository has it: a file for each version, and a
// config.pbtxt.
func repository(t testing.TB, name, config, file string, versions ...[]byte) (root string) {
	t.Helper()
	root = t.TempDir()
	for i, model := range versions {
		dir := filepath.Join(root, name, string(rune('1'+i)))
		must(t, errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, file), model, 0o644)))
	}
	must(t, os.WriteFile(filepath.Join(root, name, tritonFile), []byte(config), 0o644))
	return root
}

// runOf loads a model and runs one request of so many items.
func runOf(t *testing.T, root, path string, items int, payload []byte) (protocol.ModelSpec, []byte) {
	t.Helper()
	b := withModels(t, root)
	m := load(t, b, path)
	spec := m.Spec()
	w := loadWeights(t, b.Devices()[0], m, 0)
	out := infer(t, b.Devices()[0], m, w, spec.Fits(items), []int{items}, [][]byte{payload})
	evict(t, w)
	return spec, out[0]
}

func shapes(specs []protocol.TensorSpec) string {
	var list []string
	for _, s := range specs {
		list = append(list, s.String())
	}
	return strings.Join(list, ", ")
}

// pooled averages each of 3 channels: [1,3,8,8] to [1,3,1,1], as DenseNet ends.
func pooled() []byte {
	return onnxModel(13, onnxGraph([][]byte{node("GlobalAveragePool", []string{"data_0"}, "fc6_1")}, nil,
		[][]byte{valueInfo("data_0", 1, []int64{1, 3, 8, 8})}, [][]byte{valueInfo("fc6_1", 1, []int64{1, 3, 1, 1})}))
}

// The model of Triton's quick start has no batch dimension for its clients, and another shape
// for its graph.
func TestAModelLikeThatOfTritonsQuickStart(t *testing.T) {
	root := repository(t, "DenseNet.ONNX_v1.0", `name: "DenseNet.ONNX_v1.0"
platform: "onnxruntime_onnx"
max_batch_size : 0
input [
  {
    name: "data_0"
    data_type: TYPE_FP32
    format: FORMAT_NCHW
    dims: [ 3, 8, 8 ]
    reshape { shape: [ 1, 3, 8, 8 ] }
  }
]
output [
  {
    name: "fc6_1"
    data_type: TYPE_FP32
    dims: [ 3 ]
    reshape { shape: [ 1, 3, 1, 1 ] }
    label_filename: "densenet_labels.txt"
  }
]
`, "model.onnx", pooled())
	if found := Models(root); !slices.Equal(found, []string{"DenseNet.ONNX_v1.0"}) {
		t.Error(found)
	}
	x := randomFloats(5, 3*64)
	spec, out := runOf(t, root, "DenseNet.ONNX_v1.0", 1, floatBytes(x))
	if got := shapes(spec.Inputs) + " -> " + shapes(spec.Outputs); got != "data_0 FP32[3,8,8] -> fc6_1 FP32[3]" || !spec.NoBatch || !slices.Equal(spec.BatchSizes, []int{1}) {
		t.Errorf("%s, %+v", got, spec)
	}
	if want := []string{"config.pbtxt line 19: label_filename is not needed: classification is not offered: outputs are sent as numbers"}; !slices.Equal(spec.Notes, want) {
		t.Errorf("%q", spec.Notes)
	}
	want := make([]float32, 3)
	for i, v := range x {
		want[i/64] += v / 64
	}
	wantClose(t, "the pooled channels", bytesFloat(out), want, 1e-5)
}

func TestAModelWithABatchInTritonsLayout(t *testing.T) {
	root := repository(t, "m", `backend: "onnxruntime"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: 128 }
output { name: "y" data_type: TYPE_FP32 dims: [ 2, 64 ] reshape { shape: 128 } }
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching { }
model_warmup { name: "w" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 128 zero_data: true } } }
`, "model.onnx", affine(0, 128, 128))
	x := randomFloats(6, 3*128)
	spec, out := runOf(t, root, "m", 3, floatBytes(x))
	if !spec.AnyBatch || spec.MaxBatch() != 4 || spec.NoBatch || shapes(spec.Outputs) != "y FP32[2,64]" || len(spec.Notes) != 3 {
		t.Errorf("%+v", spec)
	}
	wantClose(t, "three items", bytesFloat(out), affineExpected(x, 128, 128), 1e-4)
}

// Many exports declare their batch as a dimension of their own, with max_batch_size 0.
func TestDimensionsThatBeginOpenAreABatch(t *testing.T) {
	root := repository(t, "m", `platform: "onnxruntime_onnx"
input { name: "x" data_type: TYPE_FP32 dims: [ -1, 128 ] }
output { name: "y" data_type: TYPE_FP32 dims: [ -1, 128 ] }
`, "model.onnx", affine(0, 128, 128))
	x := randomFloats(7, 5*128)
	spec, out := runOf(t, root, "m", 5, floatBytes(x))
	if spec.NoBatch || !spec.AnyBatch || shapes(spec.Inputs) != "x FP32[128]" || spec.MaxBatch() != 16 {
		t.Errorf("%+v", spec)
	}
	wantClose(t, "five items", bytesFloat(out), affineExpected(x, 128, 128), 1e-4)
}

// scaled multiplies a vector by a scalar, and adds an integer to each of two others: three
// inputs of two types, one of them of rank 0, and two outputs.
func scaled() []byte {
	return onnxModel(13, onnxGraph(
		[][]byte{node("Mul", []string{"x", "factor"}, "y"), node("Add", []string{"n", "n"}, "twice"), node("Abs", []string{"x"}, "unused")}, nil,
		[][]byte{valueInfo("x", 1, []int64{3, 2}), valueInfo("factor", 1, []int64{}), valueInfo("n", 7, []int64{2})},
		[][]byte{valueInfo("y", 1, []int64{3, 2}), valueInfo("unused", 1, []int64{3, 2}), valueInfo("twice", 7, []int64{2})}))
}

func TestATritonModelWithSeveralInputsAndNoBatch(t *testing.T) {
	root := repository(t, "m", `backend: "onnxruntime"
input [
  { name: "n", data_type: TYPE_INT64, dims: 2 },
  { name: "factor", data_type: TYPE_FP32, dims: 1, reshape { shape: [ ] } },
  { name: "x", data_type: TYPE_FP32, dims: [ 3, 2 ] }
]
output [ { name: "twice", data_type: TYPE_INT64, dims: [ 1, 2 ], reshape { shape: 2 } }, { name: "y", data_type: TYPE_FP32, dims: [ 3, -1 ] } ]
default_model_filename: "net.onnx"
`, "net.onnx", scaled())
	n := binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, 20), 1<<40)
	payload := slices.Concat(floatBytes([]float32{1, 2, 3, 4, 5, -6}), floatBytes([]float32{0.5}), n)
	spec, out := runOf(t, root, "m", 1, payload)
	if got := shapes(spec.Inputs) + " -> " + shapes(spec.Outputs); got != "x FP32[3,2], factor FP32[1], n INT64[2] -> y FP32[3,2], twice INT64[1,2]" {
		t.Error(got)
	}
	wantClose(t, "y", bytesFloat(out[:24]), []float32{0.5, 1, 1.5, 2, 2.5, -3}, 0)
	if got := []uint64{binary.LittleEndian.Uint64(out[24:]), binary.LittleEndian.Uint64(out[32:])}; got[0] != 40 || got[1] != 1<<41 {
		t.Errorf("twice is %v", got)
	}
}

// Without input and output the graph is asked.
func TestATritonModelMayLeaveItsTensorsToTheGraph(t *testing.T) {
	spec, _ := runOf(t, repository(t, "m", `backend: "onnxruntime"`, "model.onnx", affine(0, 128, 128)), "m", 2, floatBytes(randomFloats(8, 256)))
	if spec.NoBatch || !spec.AnyBatch || shapes(spec.Inputs) != "x FP32[128]" {
		t.Errorf("open: %+v", spec)
	}
	spec, _ = runOf(t, repository(t, "m", "", "model.onnx", pooled()), "m", 1, floatBytes(randomFloats(8, 192)))
	if !spec.NoBatch || shapes(spec.Inputs) != "data_0 FP32[1,3,8,8]" || shapes(spec.Outputs) != "fc6_1 FP32[1,3,1,1]" {
		t.Errorf("fixed: %+v", spec)
	}
}

// A model.yaml beside a config.pbtxt says what that leaves open.
func TestAModelYAMLAddsToAConfiguration(t *testing.T) {
	config := `max_batch_size: 8
input { name: "x" data_type: TYPE_FP32 dims: -1 }
`
	model := onnxModel(13, onnxGraph([][]byte{node("Relu", []string{"x"}, "y")}, nil, [][]byte{openBatch("x", -1)}, [][]byte{valueInfo("y", 1, nil)}))
	root := repository(t, "m", config, "model.onnx", model)
	_, err := withModels(t, root).LoadModel(context.Background(), "m", backend.LoadOptions{PageSize: testPage})
	wantCode(t, err, protocol.UnsupportedModel)
	if want := `config.pbtxt line 2: input "x": one model has one shape here, and [-1] leaves it open; add a model.yaml with inputs: {x: [...]}`; !strings.Contains(err.Error(), want) {
		t.Errorf("%v\nwant %s", err, want)
	}
	must(t, os.WriteFile(filepath.Join(root, "m", configFile), []byte("inputs: {x: [5]}\nmax_batch: 2\n"), 0o644))
	spec, out := runOf(t, root, "m", 2, floatBytes([]float32{-1, 2, 3, 4, 5, 6, 7, 8, 9, -10}))
	if shapes(spec.Inputs) != "x FP32[5]" || spec.MaxBatch() != 2 {
		t.Errorf("%+v", spec)
	}
	wantClose(t, "y", bytesFloat(out), []float32{0, 2, 3, 4, 5, 6, 7, 8, 9, 0}, 0)
}

func TestTheVersionPolicySelects(t *testing.T) {
	three := [][]byte{affine(0, 4, 4), affine(0, 4, 8), affine(0, 4, 12)}
	for config, want := range map[string]int64{"": 12, "version_policy { latest { num_versions: 2 } }": 12, "version_policy: { specific: { versions: [ 1, 2 ] } }": 8, "version_policy { specific { versions: 1 } }": 4, "version_policy { all { } }": 12} {
		spec, _ := runOf(t, repository(t, "m", config, "model.onnx", three...), "m", 1, floatBytes(randomFloats(9, 4)))
		if spec.Outputs[0].Shape[0] != want || spec.Version != int(want/4) {
			t.Errorf("%q: version %d, %v", config, spec.Version, spec.Outputs)
		}
		if strings.Contains(config, "all") && !slices.Equal(spec.Notes, []string{"config.pbtxt version_policy selects the versions [2 1] too: clockwork load m/2 --name NAME serves one beside this"}) {
			t.Errorf("%q", spec.Notes)
		}
	}
	root := repository(t, "m", "version_policy { specific { versions: [ 7 ] } }", "model.onnx", three...)
	_, err := withModels(t, root).LoadModel(context.Background(), "m", backend.LoadOptions{PageSize: testPage})
	wantCode(t, err, protocol.ModelNotFound)
	if !strings.Contains(err.Error(), "version_policy in m/config.pbtxt selects none of the versions [3 2 1]") {
		t.Error(err)
	}
	if spec, _ := runOf(t, root, "m/2", 1, floatBytes(randomFloats(9, 4))); spec.Version != 2 { // who names it wants it
		t.Errorf("%+v", spec)
	}
}

func TestWhatATritonModelCannotBeIsSaidByLine(t *testing.T) {
	tensors := func(x, y string) string { return "max_batch_size: 4\n" + x + "\n" + y }
	x, y := `input { name: "x" data_type: TYPE_FP32 dims: 128 }`, `output { name: "y" data_type: TYPE_FP32 dims: 128 }`
	for name, test := range map[string]struct {
		config string
		code   protocol.Code
		want   []string
	}{
		"all at once": {"platform: \"pytorch_libtorch\"\nspeed: 1\ninput { name: \"x\" data_type: TYPE_STRING dims: 1 }\n", protocol.ModelCorrupt,
			[]string{`config.pbtxt line 1: platform is "pytorch_libtorch"`, `config.pbtxt line 2: a model configuration has no field "speed"`, "config.pbtxt line 3: data_type is TYPE_STRING: models with strings (BYTES) are not served"}},
		"another name":            {"\nname: \"other\"", protocol.ModelCorrupt, []string{`config.pbtxt line 2: name is "other", and the directory is called "m"`}},
		"other dims":              {tensors(`input { name: "x" data_type: TYPE_FP32 dims: [ 127 ] }`, y), protocol.UnsupportedModel, []string{`config.pbtxt line 2: input "x": dims says [127], the graph [-1,128] with the batch`}},
		"dims with the batch":     {tensors(`input { name: "x" data_type: TYPE_FP32 dims: [ -1, 128 ] }`, y), protocol.UnsupportedModel, []string{"dims says [-1,128], the graph [-1,128] with the batch"}},
		"another type":            {tensors(`input { name: "x" data_type: TYPE_INT32 dims: [ 128 ] }`, y), protocol.UnsupportedModel, []string{`config.pbtxt line 2: input "x": data_type is TYPE_INT32, in the graph it is FP32`}},
		"another input":           {tensors(`input { name: "data" data_type: TYPE_FP32 dims: [ 128 ] }`, y), protocol.UnsupportedModel, []string{`config.pbtxt line 2: the graph has no input "data"; it has "x"`, `says nothing of the input "x"`}},
		"another output":          {tensors(x, `output { name: "z" data_type: TYPE_FP32 dims: 128 }`), protocol.UnsupportedModel, []string{`config.pbtxt line 3: the graph has no output "z"; it has "y"`}},
		"an output of other dims": {tensors(x, `output { name: "y" data_type: TYPE_FP16 dims: [ 1, 128 ] }`), protocol.UnsupportedModel, []string{`config.pbtxt line 3: output "y": dims says [1,128], the graph [1,128] with the batch`, "data_type is TYPE_FP16, in the graph it is FP32"}},
		"dims of a graph's batch": {"\n" + `input { name: "x" data_type: TYPE_FP32 dims: [ 128 ] }`, protocol.UnsupportedModel, []string{`config.pbtxt line 2: input "x": dims says [128], the graph [-1,128]`}},
		"a head and its output":   {tensors(x, y) + "\n", protocol.ModelCorrupt, []string{"config.pbtxt line 3: head in model.yaml gives the model another output"}},
	} {
		t.Run(name, func(t *testing.T) {
			root := repository(t, "m", test.config, "model.onnx", affine(0, 128, 128))
			if strings.HasPrefix(name, "a head") {
				must(t, os.WriteFile(filepath.Join(root, "m", configFile), []byte("head: argmax\n"), 0o644))
			}
			_, err := withModels(t, root).LoadModel(context.Background(), "m", backend.LoadOptions{PageSize: testPage})
			wantCode(t, err, test.code)
			for _, w := range test.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\nwant %s", err, w)
				}
			}
		})
	}
}

// How a config.pbtxt is written, and what of it changes nothing, does not change the model.
func TestTheDigestOfATritonModelIsOfWhatItSays(t *testing.T) {
	model := affine(0, 128, 128) // whose fields come in another order each time
	digest := func(config string) string {
		root := repository(t, "m", config, "model.onnx", model)
		src, refusal := readSource(root, "m", pin{}, DefaultMaxFile, &cache{dir: t.TempDir()})
		if refusal != nil {
			t.Fatal(refusal)
		}
		defer src.close()
		return src.digest
	}
	first := digest("max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: [ 128 ] }")
	if same := digest("# a comment\ninput [ < name: \"x\", data_type: 11 dims: 0x80 > ]\nmax_batch_size: 4\ninstance_group { count: 3 }\nname: \"m\"\nversion_policy { all { } }"); same != first {
		t.Errorf("%s and %s", first, same)
	}
	for _, other := range []string{"max_batch_size: 5 input { name: 'x' data_type: TYPE_FP32 dims: [ 128 ] }", "max_batch_size: 4", "max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: [ 1, 128 ] reshape { shape: 128 } }"} {
		if digest(other) == first {
			t.Errorf("%q has the same digest", other)
		}
	}
}
