//go:build linux && !static

package onnx

import (
	"fmt"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// maxItem is the largest item (all inputs, or all outputs) in bytes.
const maxItem = 256 << 20

// describe finds the description of a model: its inputs from the session and from
// model.yaml, its outputs by running every batch size.
func (m *loaded) describe(t *openTask, resident []uintptr) *protocol.Error {
	batches, refused := m.describeInputs(t.Stated, t.Limit)
	if refused != nil {
		return refused
	}
	m.nameInputs()
	for _, batch := range batches {
		if refused := m.describeOutputs(batch, resident); refused != nil {
			return refused
		}
	}
	if m.description.Spec.AnyBatch && len(batches) > 1 {
		mixes, refused := m.mixesItems(batches[1], resident)
		if refused != nil {
			return refused
		}
		if mixes {
			m.description.Spec.Mixes, m.description.Spec.AnyBatch = true, false
			batches = batches[:1]
		}
	}
	m.description.Spec.BatchSizes = batches
	return nil
}

// unsupported is a model that is not served for what it is. It names all problems that
// were found, so that one change of the model can mend them.
func unsupported(problems []string) *protocol.Error {
	return protocol.Errorf(protocol.UnsupportedModel, "%s", strings.Join(problems, "; "))
}

// describeInputs fills the spec's inputs from the session and the shapes in model.yaml,
// and returns the batch sizes to prepare, up to limit.
func (m *loaded) describeInputs(stated map[string][]int64, limit int) ([]int, *protocol.Error) {
	lifted := make(map[string]bool, len(m.weights))
	for _, w := range m.weights {
		lifted[w.Name] = true
	}
	spec := &m.description.Spec
	fixed, given := int64(0), 0
	var problems []string
	for _, in := range m.session.inputs {
		if lifted[in.name] {
			continue
		}
		shape, said := stated[in.name]
		if said {
			given++
		}
		input, batch, problem := inputSpec(in, shape, said)
		if problem != "" {
			problems = append(problems, problem)
			continue
		}
		if batch != fixed && len(spec.Inputs) > 0 {
			problems = append(problems, fmt.Sprintf("the inputs have different batch sizes: %d and %d (0 is open)", fixed, batch))
		}
		fixed = batch
		spec.Inputs = append(spec.Inputs, input)
		m.description.InputKinds = append(m.description.InputKinds, in.kind)
	}
	if given != len(stated) {
		problems = append(problems, fmt.Sprintf("model.yaml gives shapes of inputs that the model does not have; it has %v", spec.Inputs))
	}
	if n := spec.ItemBytes(); len(problems) == 0 && (len(spec.Inputs) == 0 || n > maxItem) {
		problems = append(problems, fmt.Sprintf("the model has %d inputs of %d bytes an item; it needs at least one, and at most %d bytes", len(spec.Inputs), n, maxItem))
	}
	problems = append(problems, m.openOutputs()...)
	if len(problems) > 0 {
		return nil, unsupported(problems)
	}
	if fixed > 0 {
		if fixed > int64(limit) {
			return nil, protocol.Errorf(protocol.ModelTooLarge, "the model runs at batch %d only, the limit is %d", fixed, limit)
		}
		return []int{int(fixed)}, nil
	}
	spec.AnyBatch = true
	return slices.DeleteFunc(slices.Clone(protocol.BatchSizes), func(b int) bool { return b > limit }), nil
}

// openOutputs returns the outputs whose elements cannot be sent, as far as the graph says
// before anything runs.
func (m *loaded) openOutputs() (problems []string) {
	for _, out := range m.session.outputs {
		if elementType(out.kind) == "" {
			problems = append(problems, fmt.Sprintf("output %q: elements of this type cannot be sent", out.name))
		}
	}
	return problems
}

// inputSpec returns the spec of an input for one item, and its batch size, 0 if that is
// open; or why it cannot be served. stated is the shape in model.yaml.
func inputSpec(in port, stated []int64, given bool) (protocol.TensorSpec, int64, string) {
	spec := protocol.TensorSpec{Name: in.name, Datatype: elementType(in.kind)}
	corrupt := func(format string, args ...any) (protocol.TensorSpec, int64, string) {
		return spec, 0, fmt.Sprintf("input %q: "+format, append([]any{in.name}, args...)...)
	}
	if spec.Datatype == "" {
		return corrupt("elements of this type cannot be given")
	}
	if len(in.shape) == 0 {
		return corrupt("it is a scalar; the first dimension must be the batch")
	}
	if given && len(stated) != len(in.shape)-1 {
		return corrupt("model.yaml says %s an item, the graph %s with the batch", protocol.ShapeString(stated), protocol.ShapeString(in.shape))
	}
	spec.Shape = slices.Clone(in.shape[1:])
	for i, d := range spec.Shape {
		if given && (d < 0 || d == stated[i]) {
			spec.Shape[i] = stated[i]
		} else if given {
			return corrupt("model.yaml says %s an item, the graph %s with the batch", protocol.ShapeString(stated), protocol.ShapeString(in.shape))
		}
		if spec.Shape[i] < 1 {
			return corrupt("the graph leaves its shape open (%s); give the shape of one item in model.yaml, as inputs: {%s: [...]}",
				protocol.ShapeString(in.shape), in.name)
		}
	}
	if n := spec.Bytes(); n < 1 || n > maxItem {
		return corrupt("an item of shape %s is larger than %d bytes", protocol.ShapeString(spec.Shape), maxItem)
	}
	return spec, max(0, in.shape[0]), ""
}

// describeOutputs runs a batch, letting ORT choose the outputs' shapes (a model's
// declared shapes may be wrong), and checks that they are valid and equal for all batch
// sizes.
func (m *loaded) describeOutputs(batch int, weights []uintptr) *protocol.Error {
	s, refused := m.generatedBatch(batch)
	if refused != nil {
		return refused
	}
	defer s.close()
	made := make([]uintptr, len(m.session.outputs))
	copy(s.values[len(s.tensors.inputs):], weights)
	err := m.session.run(m.inputNames, s.values, m.outputNames, made)
	defer m.lib.releaseValues(made)
	if err != nil {
		return protocol.Errorf(protocol.UnsupportedModel, "the model does not run at batch %d: %v", batch, err)
	}
	var specs []protocol.TensorSpec
	var problems []string
	for i, out := range m.session.outputs {
		kind, shape, err := m.lib.resultShape(made[i])
		if err != nil || kind == "" {
			problems = append(problems, fmt.Sprintf("output %q: elements of this type cannot be sent", out.name))
			continue
		}
		if len(shape) == 0 || shape[0] != int64(batch) || slices.Contains(shape, 0) {
			problems = append(problems, fmt.Sprintf("output %q has shape %s at batch %d; the first dimension must be the batch (max_batch: 1 in model.yaml may help)",
				out.name, protocol.ShapeString(shape), batch))
			continue
		}
		specs = append(specs, protocol.TensorSpec{Name: out.name, Datatype: kind, Shape: shape[1:]})
	}
	if len(problems) > 0 {
		return unsupported(problems)
	}
	spec := &m.description.Spec
	if spec.Outputs == nil {
		spec.Outputs = specs
		m.description.OutputKinds = kinds(m.session.outputs)
	}
	if !slices.EqualFunc(specs, spec.Outputs, sameSpec) || spec.OutputBytes() > maxItem {
		return protocol.Errorf(protocol.UnsupportedModel, "the outputs %v at batch %d differ from %v, or are too large", specs, batch, spec.Outputs)
	}
	return nil
}

func sameSpec(a, b protocol.TensorSpec) bool {
	return a.Name == b.Name && a.Datatype == b.Datatype && slices.Equal(a.Shape, b.Shape)
}

func kinds(ports []port) []int {
	list := make([]int, len(ports))
	for i, p := range ports {
		list[i] = p.kind
	}
	return list
}
