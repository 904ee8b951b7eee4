//go:build linux && !static

package onnx

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// One try tells of every problem, so that one change can mend them all.
func TestAllProblemsOfAModelAreToldAtOnce(t *testing.T) {
	one := func(input []byte, nodes ...[]byte) []byte {
		return onnxModel(13, onnxGraph(nodes, nil, [][]byte{input}, [][]byte{valueInfo("y", 1, nil)}))
	}
	identity := func(in, out string) []byte { return node("Identity", []string{in}, out) }
	sum := node("ReduceSum", []string{"x"}, "y", intAttribute("keepdims", 0))
	many, names := [][]byte(nil), [][]byte(nil)
	var nodes [][]byte
	for i := range 40 {
		in := fmt.Sprintf("an_input_with_a_name_that_is_not_short_%02d", i)
		many, names = append(many, openBatch(in, -1)), append(names, valueInfo(fmt.Sprintf("y%d", i), 1, nil))
		nodes = append(nodes, identity(in, fmt.Sprintf("y%d", i)))
	}
	for name, test := range map[string]struct {
		model  []byte
		config string
		code   protocol.Code
		want   []string
	}{
		"two inputs": {onnxModel(13, onnxGraph([][]byte{identity("a", "y"), node("Relu", []string{"b"}, "z")}, nil,
			[][]byte{valueInfo("a", 1, []int64{}), openBatch("b", -1)}, [][]byte{valueInfo("y", 1, nil), valueInfo("z", 1, nil)})), "",
			protocol.UnsupportedModel, []string{`"a": it is a scalar`, `"b": the graph leaves`, `output "y" has no shape`}},
		"an input and a scalar output": {one(openBatch("x", -1), sum), "",
			protocol.UnsupportedModel, []string{`"x": the graph leaves`, `output "y" has no shape`, "must be the batch"}},
		"a shape in model.yaml and an output of another batch": {one(openBatch("x", 4), node("ReduceSum", []string{"x"}, "y")), "inputs: {x: [5]}",
			protocol.UnsupportedModel, []string{"model.yaml says [5]", `output "y" has shape [1,1]`}},
		"an output that is the batch is no problem": {one(openBatch("x", -1), node("Relu", []string{"x"}, "y")), "",
			protocol.UnsupportedModel, []string{`"x": the graph leaves`, "!output"}},
		"inputs that do not exist": {one(openBatch("x", 4), node("Relu", []string{"x"}, "y")), "inputs: {v: [1], w: [2]}",
			protocol.UnsupportedModel, []string{`shape of "v"`, `shape of "w"`, `the inputs are "x"`}},
		"a batch above the limit, and an open shape": {onnxModel(13, onnxGraph([][]byte{node("Add", []string{"a", "b"}, "y")}, nil,
			[][]byte{valueInfo("a", 1, []int64{4, 1}), openBatch("b", -1)}, [][]byte{valueInfo("y", 1, nil)})), "max_batch: 2",
			protocol.UnsupportedModel, []string{"different batch sizes: [0 4]", `"b": the graph leaves`, "batch 4 only, the limit is 2"}},
		"a head that does not fit, and an open shape": {onnxModel(13, onnxGraph([][]byte{identity("x", "y"), identity("x", "z")}, nil,
			[][]byte{openBatch("x", -1)}, [][]byte{valueInfo("y", 1, nil), valueInfo("z", 1, nil)})), "head: argmax",
			protocol.UnsupportedModel, []string{"head in model.yaml", `"x": the graph leaves`}},
		"a head that does not fit": {onnxModel(13, onnxGraph([][]byte{identity("x", "y"), identity("x", "z")}, nil,
			[][]byte{openBatch("x", 4)}, [][]byte{valueInfo("y", 1, nil), valueInfo("z", 1, nil)})), "head: argmax",
			protocol.UnsupportedModel, []string{"head in model.yaml"}},
		"more than fit into a line": {onnxModel(13, onnxGraph(nodes, nil, many, names)), "",
			protocol.UnsupportedModel, []string{"short_00", "short_15", "; and more"}},
		"mistakes in model.yaml": {affine(0, in, out), "max_batch: 0\ninputs: {x: [0], y: [-1]}\nhead: best\nother: 1\n",
			protocol.ModelCorrupt, []string{"line 1: max_batch", `line 2: dimensions are positive numbers, at most 64, got "0"`, `got "-1"`, "line 3: head", "line 4: unknown key"}},
		"a mistake in model.yaml, and no model": {[]byte("nonsense"), "max_batch: 0\n",
			protocol.ModelCorrupt, []string{"no ONNX model", "line 1: max_batch"}},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblems(t, test.model, test.config, test.code, test.want)
		})
	}
}

// wantProblems loads a model and checks that the refusal says all that is wanted, and not
// what begins with an exclamation mark.
func wantProblems(t *testing.T, model []byte, config string, code protocol.Code, want []string) {
	t.Helper()
	root := t.TempDir()
	writeModel(t, root, "m", model, config)
	_, err := withModels(t, root).LoadModel(context.Background(), "m", backend.LoadOptions{PageSize: testPage})
	wantCode(t, err, code)
	for _, w := range want {
		if never, not := strings.CutPrefix(w, "!"); not && strings.Contains(err.Error(), never) {
			t.Errorf("%v says %q", err, never)
		} else if !not && !strings.Contains(err.Error(), w) {
			t.Errorf("%v does not say %q", err, w)
		}
	}
}

func TestMistakesInModelYAMLDoNotHideAMissingFile(t *testing.T) {
	root := t.TempDir()
	writeModel(t, root, "m", nil, "max_batch: 0\n")
	must(t, os.Remove(filepath.Join(root, "m", "1", modelFile)))
	_, err := withModels(t, root).LoadModel(context.Background(), "m/1", backend.LoadOptions{})
	wantCode(t, err, protocol.ModelCorrupt)
	if !strings.Contains(err.Error(), "line 1: max_batch") || !strings.Contains(err.Error(), modelFile) {
		t.Errorf("%v does not name both", err)
	}
}

// A model that another version of ONNX Runtime would run, or one with more operators, is not
// corrupt.
func TestAGoodModelThatCannotBeServedIsNotCorrupt(t *testing.T) {
	graph := func(kind int, op []byte) []byte {
		return onnxGraph([][]byte{op}, nil, [][]byte{valueInfo("x", kind, []int64{1, 4})}, [][]byte{valueInfo("y", kind, nil)})
	}
	model := func(ir, version int64, graph []byte) []byte {
		b := appendBytes(appendVarint(nil, 1, ir), modelOpset, appendVarint(appendString(nil, opsetDomain, ""), opsetVersion, version))
		b = appendBytes(b, modelOpset, appendVarint(appendString(nil, opsetDomain, "own.domain"), opsetVersion, 1))
		return appendBytes(b, modelGraph, graph)
	}
	relu := node("Relu", []string{"x"}, "y")
	for name, test := range map[string]struct {
		model []byte
		code  protocol.Code
		want  string
	}{
		"a later format":              {model(99, 13, graph(1, relu)), protocol.UnsupportedModel, "Unsupported model IR version: 99"},
		"later operators":             {model(7, 99, graph(1, relu)), protocol.UnsupportedModel, "Opset 99"},
		"an unknown operator":         {model(7, 13, graph(1, node("NoSuchOperator", []string{"x"}, "y"))), protocol.UnsupportedModel, "NoSuchOperator"},
		"an operator of its own":      {model(7, 13, graph(1, append(node("Own", []string{"x"}, "y"), appendString(nil, 7, "own.domain")...))), protocol.UnsupportedModel, "own.domain:Own"},
		"a type without a kernel":     {model(7, 14, graph(5, relu)), protocol.UnsupportedModel, "Relu(14)"},
		"a type that is not allowed":  {model(7, 14, graph(8, relu)), protocol.ModelCorrupt, "Type Error"},
		"an input that is not there":  {model(7, 13, graph(1, node("Add", []string{"x", "nothing"}, "y"))), protocol.ModelCorrupt, "nothing"},
		"a type that cannot be given": {model(7, 13, graph(8, node("Identity", []string{"x"}, "y"))), protocol.UnsupportedModel, "cannot be given"},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblems(t, test.model, "", test.code, []string{test.want, "!exit status"})
		})
	}
}
