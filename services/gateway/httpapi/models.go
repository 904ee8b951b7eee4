package httpapi

import (
	"net/http"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/oip"
)

// metadata describes the server.
func (c *call) metadata() { c.say(http.StatusOK, c.oip.Metadata()) }

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
	why := c.oip.Unready()
	if model != "" {
		why = c.oip.ModelUnready(model)
	}
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

// withModel answers about the model that the path names; if there is no such one, it says so.
func (c *call) withModel(answer func(*protocol.ModelSpec)) {
	spec, refusal := c.oip.Model(c.model, c.version)
	if refusal != nil {
		c.refuse(refusal)
		return
	}
	answer(&spec)
}

// modelReady answers whether a model is served.
func (c *call) modelReady() {
	c.withModel(func(spec *protocol.ModelSpec) { c.sayReady(c.health(spec.Name)) })
}

// modelMetadata describes a model as the protocol does.
func (c *call) modelMetadata() {
	c.withModel(func(spec *protocol.ModelSpec) { c.say(http.StatusOK, oip.MetadataOf(spec)) })
}

// modelStatistics tells the statistics of a model, or of all.
func (c *call) modelStatistics() {
	list, refusal := c.oip.Statistics(c.model, c.version)
	if refusal != nil {
		c.refuse(refusal)
		return
	}
	c.say(http.StatusOK, map[string]any{"model_stats": list})
}

// modelConfig describes a model as Triton's configuration does.
func (c *call) modelConfig() {
	c.withModel(func(spec *protocol.ModelSpec) { c.say(http.StatusOK, oip.ConfigOf(spec)) })
}
