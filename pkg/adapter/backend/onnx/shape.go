//go:build linux && !static

package onnx

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clockwork/pkg/adapter/tritonconfig"
	"clockwork/pkg/protocol"
)

// maxItem is the largest item (all inputs, or all outputs) in bytes.
const maxItem = 256 << 20

// describe finds the description of a model: its inputs from the session and from
// model.yaml, its outputs by running every batch size.
func (m *loaded) describe(t *openTask, resident []uintptr) *protocol.Error {
	batches, refusal := m.describeInputs(t)
	if refusal != nil {
		return refusal
	}
	m.session.outputs = servedOutputs(m.session.outputs, t.Declared)
	m.nameInputs()
	for _, batch := range batches {
		if refusal := m.describeOutputs(batch, resident, t.Declared); refusal != nil {
			return refusal
		}
	}
	if m.description.Spec.AnyBatch && len(batches) > 1 {
		mixes, refusal := m.mixesItems(batches[1], resident)
		if refusal != nil {
			return refusal
		}
		if mixes {
			m.description.Spec.Mixes, m.description.Spec.AnyBatch = true, false
			batches = batches[:1]
		}
	}
	m.description.Spec.BatchSizes = batches
	return nil
}

// unsupported is a model that is not served for what it is.
func unsupported(problems []string) *protocol.Error {
	return protocol.Errorf(protocol.UnsupportedModel, "%s", listed(problems))
}

// describeInputs fills the spec's inputs from the session and from what model.yaml and
// config.pbtxt say, and returns the batch sizes to prepare, up to the limit.
func (m *loaded) describeInputs(t *openTask) ([]int, *protocol.Error) {
	d, spec, limit := &m.description, &m.description.Spec, t.Limit
	ports := m.ownInputs()
	said := newDeclared(t.Declared, ports, m.session.outputs)
	spec.NoBatch = said.noBatch
	problems := said.problems
	batches := map[int64]bool{} // of the inputs; 0 is open
	for _, in := range ports {
		input, shape, wrong := inputSpec(in, t.Stated, &said)
		problems = append(problems, wrong...)
		if len(in.shape) > 0 {
			batches[max(0, in.shape[0])] = true
		}
		if len(wrong) == 0 {
			spec.Inputs = append(spec.Inputs, input)
			d.InputKinds, d.InputShapes = append(d.InputKinds, in.kind), append(d.InputShapes, shape)
		}
	}
	if spec.NoBatch {
		clear(batches)
	}
	problems = append(problems, strangers(t.Stated, ports)...)
	if len(batches) > 1 {
		problems = append(problems, fmt.Sprintf("the inputs have different batch sizes: %v (0 is open)", slices.Sorted(maps.Keys(batches))))
	}
	if len(ports) == 0 {
		problems = append(problems, "the model has no inputs; it needs at least one")
	}
	if n := spec.ItemBytes(); n > maxItem {
		problems = append(problems, fmt.Sprintf("the inputs of an item take %d bytes, at most %d can be served", n, maxItem))
	}
	for _, out := range m.session.outputs {
		if elementType(out.kind) == "" {
			problems = append(problems, fmt.Sprintf("output %.80q: elements of this type cannot be sent", out.name))
		}
	}
	fixed := int64(0)
	for b := range batches {
		fixed = max(fixed, b) // the only one, unless there are problems
	}
	over := fixed > int64(limit)
	if len(problems) > 0 {
		if over {
			problems = append(problems, overLimit(fixed, limit))
		}
		if !spec.NoBatch {
			problems = append(problems, m.doubtfulOutputs(fixed, limit)...)
		}
		return nil, unsupported(problems)
	}
	if over {
		return nil, protocol.Errorf(protocol.ModelTooLarge, "%s", overLimit(fixed, limit))
	}
	if spec.NoBatch {
		return []int{1}, nil
	}
	if fixed > 0 {
		return []int{int(fixed)}, nil
	}
	spec.AnyBatch = true
	return slices.DeleteFunc(slices.Clone(protocol.BatchSizes), func(b int) bool { return b > limit }), nil
}

func overLimit(batch int64, limit int) string {
	return fmt.Sprintf("the model runs at batch %d only, the limit is %d", batch, limit)
}

// ownInputs returns the session's inputs that are no weights.
func (m *loaded) ownInputs() []port {
	weights := make(map[string]bool, len(m.weights))
	for _, w := range m.weights {
		weights[w.Name] = true
	}
	return slices.DeleteFunc(slices.Clone(m.session.inputs), func(in port) bool { return weights[in.name] })
}

// strangers returns the shapes in model.yaml of inputs that the model does not have.
func strangers(stated map[string][]int64, ports []port) (problems []string) {
	var names []string
	for _, in := range ports {
		names = append(names, fmt.Sprintf("%.80q", in.name))
	}
	for _, name := range slices.Sorted(maps.Keys(stated)) {
		if !slices.ContainsFunc(ports, func(in port) bool { return in.name == name }) {
			problems = append(problems, fmt.Sprintf("model.yaml gives a shape of %.80q, which is no input; the inputs are %s", name, strings.Join(names[:min(len(names), maxProblems)], ", ")))
		}
	}
	return problems
}

// doubtfulOutputs returns the outputs whose first dimension is not the batch by what the
// graph says, which a run would show for certain: a model that cannot be run because of its
// inputs is not to be refused for its outputs the next time.
func (m *loaded) doubtfulOutputs(fixed int64, limit int) (problems []string) {
	if fixed == 0 && limit == 1 {
		fixed = 1
	}
	for _, out := range m.session.outputs {
		switch {
		case len(out.shape) == 0: // ONNX Runtime does not tell a scalar from what it does not know
			problems = append(problems, fmt.Sprintf("output %.80q has no shape by the graph, maybe as a scalar; %s", out.name, needsBatch))
		case out.shape[0] >= 0 && out.shape[0] != fixed:
			problems = append(problems, fmt.Sprintf("output %.80q has shape %s by the graph; %s", out.name, protocol.ShapeString(out.shape), needsBatch))
		}
	}
	return problems
}

// needsBatch is what an output lacks.
const needsBatch = "the first dimension must be the batch (max_batch: 1 in model.yaml may help)"

// inputSpec returns the spec of an input for one item, the shape that the graph has for it, and
// why it cannot be served. stated are the shapes in model.yaml.
func inputSpec(in port, stated map[string][]int64, said *declared) (spec protocol.TensorSpec, shape []int64, problems []string) {
	spec = protocol.TensorSpec{Name: in.name, Datatype: elementType(in.kind)}
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("input %.80q: "+format, append([]any{in.name}, args...)...))
	}
	if spec.Datatype == "" {
		problem("elements of this type cannot be given")
	}
	of := said.inputs[in.name]
	shape, whole := said.item(in, of)
	if !whole {
		problem("it is a scalar; the first dimension must be the batch")
		return spec, nil, problems
	}
	if given, is := stated[in.name]; is {
		if !slices.EqualFunc(shape, given, fits) {
			problem("model.yaml says %s an item, the graph %s%s", protocol.ShapeString(given), protocol.ShapeString(in.shape), said.batchText())
			return spec, nil, problems
		}
		shape = slices.Clone(given)
	}
	spec.Shape, problems = said.apply("input", in, of, shape, problems)
	if len(problems) > 0 {
		return spec, nil, problems
	}
	shape = said.filled(shape, of)
	if slices.ContainsFunc(shape, func(d int64) bool { return d < 1 }) {
		problem("the graph leaves its shape open (%s); give the shape of one item in model.yaml, as inputs: {%.80s: [...]}",
			protocol.ShapeString(in.shape), in.name)
	} else if n := spec.Bytes(); spec.Datatype != "" && (n < 1 || n > maxItem) {
		problem("an item of shape %s is larger than %d bytes", protocol.ShapeString(spec.Shape), maxItem)
	}
	return spec, shape, problems
}

// describeOutputs runs a batch, letting ORT choose the outputs' shapes (a model's
// declared shapes may be wrong), and checks that they are valid and equal for all batch
// sizes.
func (m *loaded) describeOutputs(batch int, weights []uintptr, triton *tritonconfig.Config) *protocol.Error {
	s, refusal := m.generatedBatch(batch)
	if refusal != nil {
		return refusal
	}
	defer s.close()
	made := make([]uintptr, len(m.session.outputs))
	copy(s.values[len(s.tensors.inputs):], weights)
	err := m.session.run(m.inputNames, s.values, m.outputNames, made)
	defer m.lib.releaseValues(made)
	if err != nil {
		return protocol.Errorf(protocol.UnsupportedModel, "the model does not run at batch %d: %v", batch, err)
	}
	said := newDeclared(triton, m.ownInputs(), m.session.outputs)
	var specs []protocol.TensorSpec
	var shapes [][]int64
	var problems []string
	for i, out := range m.session.outputs {
		kind, shape, err := m.lib.resultShape(made[i])
		if err != nil || kind == "" {
			problems = append(problems, fmt.Sprintf("output %.80q: elements of this type cannot be sent", out.name))
			continue
		}
		if !said.noBatch && (len(shape) == 0 || shape[0] != int64(batch)) || slices.Contains(shape, 0) {
			problems = append(problems, fmt.Sprintf("output %.80q has shape %s at batch %d; %s", out.name, protocol.ShapeString(shape), batch, needsBatch))
			continue
		}
		of, made := said.outputs[out.name], port{name: out.name, kind: out.kind, shape: shape}
		item, _ := said.item(made, of)
		spec := protocol.TensorSpec{Name: out.name, Datatype: kind}
		spec.Shape, problems = said.apply("output", made, of, item, problems)
		specs, shapes = append(specs, spec), append(shapes, item)
	}
	if len(problems) > 0 {
		return unsupported(problems)
	}
	spec := &m.description.Spec
	if spec.Outputs == nil {
		spec.Outputs = specs
		m.description.OutputKinds, m.description.OutputShapes = kinds(m.session.outputs), shapes
	}
	if !slices.EqualFunc(specs, spec.Outputs, sameSpec) {
		problems = append(problems, fmt.Sprintf("the outputs %.500v at batch %d differ from %.500v at batch %d", specs, batch, spec.Outputs, protocol.BatchSizes[0]))
	}
	if n := spec.OutputBytes(); n > maxItem {
		problems = append(problems, fmt.Sprintf("the outputs of an item take %d bytes, at most %d can be served", n, maxItem))
	}
	if len(problems) > 0 {
		return unsupported(problems)
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
