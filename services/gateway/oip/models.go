package oip

import (
	"slices"
	"strconv"

	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
)

// platform is what clients are told that executes models.
const platform = "clockwork"

// extensions of the protocol that a gateway has.
var extensions = []string{"binary_tensor_data", "model_configuration", "model_repository", "statistics"}

// ServerMetadata describes the server.
type ServerMetadata struct {
	Extensions []string `json:"extensions"` // of the protocol
	Name       string   `json:"name"`
	Version    string   `json:"version"`
}

// Metadata describes the server.
func (s *Server) Metadata() ServerMetadata {
	return ServerMetadata{Extensions: slices.Clone(extensions), Name: platform, Version: s.config.Version}
}

// Model returns a model in a version, "" for any: the error is UNKNOWN_MODEL, or says why
// there is no front door.
func (s *Server) Model(name, version string) (spec protocol.ModelSpec, refusal *protocol.Error) {
	if absent := s.Behind(func(d *frontdoor.FrontDoor) { spec, refusal = d.Model(name) }); absent != nil {
		return spec, absent
	}
	if refusal == nil {
		refusal = CheckVersion(&spec, version)
	}
	return spec, refusal
}

// ModelNames returns the names of all models, sorted. The error says why there is no front door.
func (s *Server) ModelNames() (names []string, absent *protocol.Error) {
	absent = s.Behind(func(d *frontdoor.FrontDoor) { names = d.ModelNames() })
	slices.Sort(names)
	return names, absent
}

// VersionOf is a model's version; one that has none has the version 1 of Triton.
func VersionOf(spec *protocol.ModelSpec) string { return strconv.Itoa(max(1, spec.Version)) }

// NameVersion has an answer name the version of a model that has none.
func NameVersion(r *protocol.InferResponse) {
	if r.ModelVersion == "" {
		r.ModelVersion = VersionOf(&protocol.ModelSpec{})
	}
}

// CheckVersion refuses another version than the model's; "" is any.
func CheckVersion(spec *protocol.ModelSpec, version string) *protocol.Error {
	if version == "" || version == VersionOf(spec) {
		return nil
	}
	return protocol.Errorf(protocol.UnknownModel, "model %s has the version %s, not %.40q", spec.Name, VersionOf(spec), version)
}

// ModelMetadata describes a model as the protocol does.
type ModelMetadata struct {
	Name     string           `json:"name"`
	Versions []string         `json:"versions"`
	Platform string           `json:"platform"`
	Inputs   []TensorMetadata `json:"inputs"`
	Outputs  []TensorMetadata `json:"outputs"`
}

// TensorMetadata describes an input or output, with the batch dimension if there is one.
type TensorMetadata struct {
	Name     string            `json:"name"`
	Datatype protocol.DataType `json:"datatype"`
	Shape    []int64           `json:"shape"`
}

// MetadataOf describes a model.
func MetadataOf(spec *protocol.ModelSpec) ModelMetadata {
	return ModelMetadata{spec.Name, []string{VersionOf(spec)}, platform, tensorsOf(spec, spec.Inputs), tensorsOf(spec, spec.Outputs)}
}

// tensorsOf describes tensors of a model; -1 stands for any batch up to the largest.
func tensorsOf(m *protocol.ModelSpec, specs []protocol.TensorSpec) []TensorMetadata {
	batch := -1
	if m.MaxBatch() <= 1 {
		batch = 1
	}
	list := make([]TensorMetadata, 0, len(specs))
	for _, s := range specs {
		list = append(list, TensorMetadata{s.Name, s.Datatype, m.Shape(s, batch)})
	}
	return list
}

// ModelConfig describes a model as Triton's configuration does.
type ModelConfig struct {
	Name     string         `json:"name"`
	Platform string         `json:"platform"`
	MaxBatch int            `json:"max_batch_size"`
	Inputs   []TensorConfig `json:"input"`
	Outputs  []TensorConfig `json:"output"`
}

// TensorConfig describes an input or output, without the batch dimension.
type TensorConfig struct {
	Name string  `json:"name"`
	Type string  `json:"data_type"`
	Dims []int64 `json:"dims"`
}

// ConfigOf describes a model's configuration.
func ConfigOf(spec *protocol.ModelSpec) ModelConfig {
	largest := spec.MaxBatch()
	if spec.NoBatch {
		largest = 0
	}
	return ModelConfig{spec.Name, platform, largest, tensorConfigs(spec.Inputs), tensorConfigs(spec.Outputs)}
}

func tensorConfigs(specs []protocol.TensorSpec) []TensorConfig {
	list := make([]TensorConfig, 0, len(specs))
	for _, s := range specs {
		list = append(list, TensorConfig{s.Name, "TYPE_" + string(s.Datatype), append([]int64{}, s.Shape...)})
	}
	return list
}
