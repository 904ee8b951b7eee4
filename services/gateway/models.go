package gateway

import (
	"net/http"
	"strconv"

	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
)

// platform is what clients are told that executes models.
const platform = "clockwork"

// extensions of the protocol that a gateway has.
var extensions = []string{"binary_tensor_data", "model_configuration"}

// metadata describes the server.
func (c *call) metadata() {
	c.say(http.StatusOK, map[string]any{"name": platform, "version": c.config.Version, "extensions": extensions})
}

// health is the answer to a question after health: some clients read one key, some the other,
// some only the status.
type health struct {
	Live  bool   `json:"live"`
	Ready bool   `json:"ready"`
	Name  string `json:"name,omitempty"`
	Why   string `json:"why,omitempty"` // it is not ready
}

// health asks after the health of the gateway; model is "" or the one that is asked after.
func (c *call) health(model string) health {
	why := c.unready()
	return health{Live: true, Ready: why == "", Name: model, Why: why}
}

func (c *call) live() { c.say(http.StatusOK, c.health("")) }

func (c *call) readiness() { c.sayReady(c.health("")) }

func (c *call) sayReady(h health) {
	status := http.StatusOK
	if !h.Ready {
		status = http.StatusServiceUnavailable
	}
	c.say(status, h)
}

// spec returns the model that the path names; if there is no such one, that is answered.
func (c *call) spec() (spec protocol.ModelSpec, known bool) {
	var unknown *protocol.Error
	refusal := c.behind(func(d *frontdoor.FrontDoor) { spec, unknown = d.Model(c.model) })
	if refusal == nil {
		refusal = unknown
	}
	if refusal == nil {
		refusal = c.checkVersion(&spec)
	}
	if refusal != nil {
		c.refuse(refusal)
	}
	return spec, refusal == nil
}

// versionOf is a model's version; one that has none has the version 1 of Triton.
func versionOf(spec *protocol.ModelSpec) string { return strconv.Itoa(max(1, spec.Version)) }

// checkVersion refuses another version than the model's.
func (c *call) checkVersion(spec *protocol.ModelSpec) *protocol.Error {
	if c.version == "" || c.version == versionOf(spec) {
		return nil
	}
	return protocol.Errorf(protocol.UnknownModel, "model %s has the version %s, not %.40q", spec.Name, versionOf(spec), c.version)
}

// modelReady answers whether a model is served.
func (c *call) modelReady() {
	if spec, known := c.spec(); known {
		c.sayReady(c.health(spec.Name))
	}
}

// tensorMetadata describes an input or output, with the batch dimension if there is one.
type tensorMetadata struct {
	Name     string            `json:"name"`
	Datatype protocol.DataType `json:"datatype"`
	Shape    []int64           `json:"shape"`
}

// tensorsOf describes tensors of a model; -1 stands for any batch up to the largest.
func tensorsOf(m *protocol.ModelSpec, specs []protocol.TensorSpec) []tensorMetadata {
	batch := -1
	if m.MaxBatch() <= 1 {
		batch = 1
	}
	list := make([]tensorMetadata, 0, len(specs))
	for _, s := range specs {
		list = append(list, tensorMetadata{s.Name, s.Datatype, m.Shape(s, batch)})
	}
	return list
}

// modelMetadata describes a model as the protocol does.
func (c *call) modelMetadata() {
	if spec, known := c.spec(); known {
		c.say(http.StatusOK, struct {
			Name     string           `json:"name"`
			Versions []string         `json:"versions"`
			Platform string           `json:"platform"`
			Inputs   []tensorMetadata `json:"inputs"`
			Outputs  []tensorMetadata `json:"outputs"`
		}{spec.Name, []string{versionOf(&spec)}, platform, tensorsOf(&spec, spec.Inputs), tensorsOf(&spec, spec.Outputs)})
	}
}

// tensorConfig describes an input or output as Triton's configuration does, without the batch
// dimension.
type tensorConfig struct {
	Name string  `json:"name"`
	Type string  `json:"data_type"`
	Dims []int64 `json:"dims"`
}

func configOf(specs []protocol.TensorSpec) []tensorConfig {
	list := make([]tensorConfig, 0, len(specs))
	for _, s := range specs {
		list = append(list, tensorConfig{s.Name, "TYPE_" + string(s.Datatype), append([]int64{}, s.Shape...)})
	}
	return list
}

// maxBatchSize is the largest batch as Triton's configuration has it: 0 without a batch
// dimension.
func maxBatchSize(m *protocol.ModelSpec) int {
	if m.NoBatch {
		return 0
	}
	return m.MaxBatch()
}

// modelConfig describes a model as Triton's configuration does.
func (c *call) modelConfig() {
	if spec, known := c.spec(); known {
		c.say(http.StatusOK, struct {
			Name     string         `json:"name"`
			Platform string         `json:"platform"`
			MaxBatch int            `json:"max_batch_size"`
			Inputs   []tensorConfig `json:"input"`
			Outputs  []tensorConfig `json:"output"`
		}{spec.Name, platform, maxBatchSize(&spec), configOf(spec.Inputs), configOf(spec.Outputs)})
	}
}
