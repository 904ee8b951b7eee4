//go:build linux && !static

package onnx

import (
	"fmt"
	"slices"
	"strings"

	"clockwork/pkg/adapter/tritonconfig"
	"clockwork/pkg/protocol"
)

// declared is what a config.pbtxt says about a model's tensors, compared with the graph.
type declared struct {
	inputs, outputs map[string]*tritonconfig.Tensor
	// noBatch: the tensors of clients have no batch dimension. batched: max_batch_size is 0, and
	// yet the first dimension of all tensors is a batch, since it is open: dims hold it too.
	noBatch, batched bool
	problems         []string
}

// newDeclared compares with the inputs and outputs of the graph; c is nil without a
// config.pbtxt.
func newDeclared(c *tritonconfig.Config, inputs, outputs []port) declared {
	d := declared{inputs: map[string]*tritonconfig.Tensor{}, outputs: map[string]*tritonconfig.Tensor{}}
	if c == nil {
		return d
	}
	d.take(d.inputs, "input", c.Inputs, inputs)
	d.take(d.outputs, "output", c.Outputs, outputs)
	if len(c.Inputs) > 0 {
		for _, in := range inputs {
			if d.inputs[in.name] == nil {
				d.problems = append(d.problems, fmt.Sprintf("%s says nothing of the input %.80q", tritonFile, in.name))
			}
		}
	}
	if c.MaxBatch == 0 {
		d.batched = d.beginOpen(d.inputs, inputs) && d.beginOpen(d.outputs, nil)
		d.noBatch = !d.batched
	}
	return d
}

// take notes the declared tensors by their names, those that the graph has.
func (d *declared) take(to map[string]*tritonconfig.Tensor, kind string, list []tritonconfig.Tensor, ports []port) {
	var names []string
	for _, p := range ports {
		names = append(names, fmt.Sprintf("%.80q", p.name))
	}
	for i := range list {
		t := &list[i]
		if slices.ContainsFunc(ports, func(p port) bool { return p.name == t.Name }) {
			to[t.Name] = t
			continue
		}
		d.problems = append(d.problems, fmt.Sprintf("%s line %d: the graph has no %s %.80q; it has %s", tritonFile, t.Line, kind, t.Name,
			strings.Join(names[:min(len(names), maxProblems)], ", ")))
	}
}

// beginOpen reports whether the first dimension of all tensors is open, by the graph and by
// what is declared.
func (d *declared) beginOpen(list map[string]*tritonconfig.Tensor, ports []port) bool {
	for _, t := range list {
		if t.Reshape != nil || len(t.Dims) == 0 || t.Dims[0] != -1 {
			return false
		}
	}
	return !slices.ContainsFunc(ports, func(p port) bool { return len(p.shape) == 0 || p.shape[0] >= 0 })
}

// item returns the shape of one item by the graph; false if it has no batch dimension and has
// to have one. A graph that says nothing of a shape leaves all dimensions open that are declared.
func (d *declared) item(p port, of *tritonconfig.Tensor) ([]int64, bool) {
	switch {
	case !d.noBatch && len(p.shape) == 0:
		return nil, false
	case !d.noBatch:
		return slices.Clone(p.shape[1:]), true
	case len(p.shape) == 0 && of != nil:
		return slices.Repeat([]int64{-1}, len(of.Shape())), true
	}
	return slices.Clone(p.shape), true
}

// fits reports whether a dimension of the graph, which may be open, can be another.
func fits(graph, other int64) bool { return graph < 0 || graph == other }

// dims returns what is declared of the shape of an item of the graph.
func (d *declared) dims(of *tritonconfig.Tensor) []int64 {
	if d.batched {
		return of.Shape()[1:]
	}
	return of.Shape()
}

// filled returns a shape of the graph with what is declared where it is open.
func (d *declared) filled(shape []int64, of *tritonconfig.Tensor) []int64 {
	if of == nil {
		return shape
	}
	shape = slices.Clone(shape)
	for i, dim := range d.dims(of) {
		if shape[i] < 0 {
			shape[i] = dim
		}
	}
	return shape
}

// apply returns the shape that clients send or get for a shape of the graph, and adds what is
// wrong with it.
func (d *declared) apply(kind string, p port, of *tritonconfig.Tensor, shape []int64, problems []string) ([]int64, []string) {
	if of == nil {
		return shape, problems
	}
	said := d.dims(of)
	problem := func(format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s line %d: %s %.80q: ", tritonFile, of.Line, kind, of.Name)+fmt.Sprintf(format, args...))
	}
	if datatype := elementType(p.kind); datatype != of.Datatype && datatype != "" {
		problem("data_type is TYPE_%s, in the graph it is %s", of.Datatype, datatype)
	}
	if !slices.EqualFunc(shape, said, func(graph, dim int64) bool { return graph < 0 || dim < 0 || graph == dim }) {
		problem("%s says %s, the graph %s%s", dimsText(of), protocol.ShapeString(of.Shape()), protocol.ShapeString(p.shape), d.batchText())
		return shape, problems
	}
	filled := d.filled(shape, of)
	if slices.Contains(filled, -1) {
		problem("one model has one shape here, and %s leaves it open; add a model.yaml with inputs: {%.80s: [...]} and the shape of one item", protocol.ShapeString(filled), of.Name)
	}
	if of.Reshape != nil {
		return slices.Clone(of.Dims), problems
	}
	return filled, problems
}

func dimsText(of *tritonconfig.Tensor) string {
	if of.Reshape != nil {
		return "reshape"
	}
	return "dims"
}

// batchText says what a shape of the graph has that those of config.pbtxt and model.yaml have not.
func (d *declared) batchText() string {
	if d.noBatch || d.batched {
		return ""
	}
	return " with the batch"
}

// servedOutputs returns the outputs that a config.pbtxt declares; all, if it declares none.
func servedOutputs(outputs []port, c *tritonconfig.Config) []port {
	if c == nil || len(c.Outputs) == 0 {
		return outputs
	}
	served := slices.DeleteFunc(slices.Clone(outputs), func(p port) bool {
		return !slices.ContainsFunc(c.Outputs, func(t tritonconfig.Tensor) bool { return t.Name == p.name })
	})
	if len(served) == 0 {
		return outputs // which are named where that is refused
	}
	return served
}

// describedOutputs returns the outputs that a description has.
func describedOutputs(outputs []port, specs []protocol.TensorSpec) []port {
	return slices.DeleteFunc(slices.Clone(outputs), func(p port) bool {
		return !slices.ContainsFunc(specs, func(s protocol.TensorSpec) bool { return s.Name == p.name })
	})
}
