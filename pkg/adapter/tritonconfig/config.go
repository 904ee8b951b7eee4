package tritonconfig

import (
	"slices"

	"clockwork/pkg/protocol"
)

// Config is what a config.pbtxt says about an ONNX model.
type Config struct {
	// Name is the model's, "" if it is not given.
	Name string
	// MaxBatch is max_batch_size: how many items a batch has at most, 0 for a model whose
	// tensors have no batch dimension, as far as their dims say.
	MaxBatch int
	// Inputs and Outputs are in the order of the file; none if the graph is to be asked.
	Inputs, Outputs []Tensor
	Versions        Policy
	// File is default_model_filename, "" if it is not given.
	File string
	// Notes say what is in the file and changes nothing here, and why: a line each.
	Notes []string

	nameLine int
}

// Tensor is an input or output.
type Tensor struct {
	Name     string
	Datatype protocol.DataType
	// Dims is the shape that clients send or get, without the batch dimension if the model has
	// one; Reshape is the one that the model takes or gives, nil for the same. -1 is open.
	Dims, Reshape []int64
	Line          int
}

// Shape returns the shape that the model takes or gives.
func (t *Tensor) Shape() []int64 {
	if t.Reshape != nil {
		return t.Reshape
	}
	return t.Dims
}

// Policy says which versions of a model are served: those of Specific, or if there are none
// the Latest highest ones, or All.
type Policy struct {
	All      bool
	Latest   int
	Specific []int
}

// Served returns the versions that a policy selects of those that there are, the highest first.
func (p Policy) Served(versions []int) []int {
	list := slices.Clone(versions)
	slices.SortFunc(list, func(a, b int) int { return b - a })
	switch {
	case p.All:
		return list
	case p.Specific != nil:
		return slices.DeleteFunc(list, func(v int) bool { return !slices.Contains(p.Specific, v) })
	}
	return list[:min(len(list), max(1, p.Latest))]
}

// Canonical returns the configuration as far as it changes what a model does: without lines,
// notes and versions.
func (c *Config) Canonical() *Config {
	bare := &Config{MaxBatch: c.MaxBatch, Inputs: slices.Clone(c.Inputs), Outputs: slices.Clone(c.Outputs)}
	for _, list := range [][]Tensor{bare.Inputs, bare.Outputs} {
		for i := range list {
			list[i].Line = 0
		}
	}
	return bare
}

// CheckName returns the problem of a model in a directory of this name, nil if there is none.
func (c *Config) CheckName(directory string) error {
	if c.Name == "" || c.Name == directory {
		return nil
	}
	return problemAt(c.nameLine, "name is %.80q, and the directory is called %.80q: they must be equal", c.Name, directory)
}
