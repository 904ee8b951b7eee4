//go:build linux && !static

package onnx

import (
	"context"
	"testing"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// loadedSpec loads a model of a file and returns its description.
func loadedSpec(t *testing.T, file []byte) (protocol.ModelSpec, error) {
	t.Helper()
	root := t.TempDir()
	writeModel(t, root, "m", file, "")
	m, err := withModels(t, root).LoadModel(context.Background(), "m", backend.LoadOptions{PageSize: testPage})
	if err != nil {
		return protocol.ModelSpec{}, err
	}
	defer func() { must(t, m.Close()) }()
	return m.Spec(), nil
}

// A model whose answers depend on the other items of a batch would answer one client from
// another's input: it runs at batch 1 only.
func TestAModelThatMixesItemsRunsAlone(t *testing.T) {
	square := func(nodes ...[]byte) []byte {
		return onnxModel(13, onnxGraph(nodes, nil, [][]byte{openBatch("x", 8)}, [][]byte{valueInfo("y", 1, nil)}))
	}
	for name, file := range map[string][]byte{
		"softmax over the batch": square(node("Softmax", []string{"x"}, "y", intAttribute("axis", 0))),
		"the mean of the batch": square(node("ReduceMean", []string{"x"}, "mean", listAttribute("axes", 0), intAttribute("keepdims", 1)),
			node("Sub", []string{"x", "mean"}, "y")),
	} {
		spec, err := loadedSpec(t, file)
		if err != nil || !spec.Mixes || spec.MaxBatch() != 1 || spec.AnyBatch {
			t.Errorf("%s: mixes %v, batches %v, %v", name, spec.Mixes, spec.BatchSizes, err)
		}
	}
	for name, file := range map[string][]byte{
		"softmax over the item": square(node("Softmax", []string{"x"}, "y", intAttribute("axis", 1))),
		"a matrix":              affine(0, in, out),
		"rectified":             square(node("Relu", []string{"x"}, "y")),
	} {
		spec, err := loadedSpec(t, file)
		if err != nil || spec.Mixes || spec.MaxBatch() < 2 {
			t.Errorf("%s: mixes %v, batches %v, %v", name, spec.Mixes, spec.BatchSizes, err)
		}
	}
}
