package httpapi

import (
	"encoding/json"
	"net/http"

	"clockwork/pkg/protocol"
)

// maxIndex bounds the body of a question after the models, in bytes.
const maxIndex = 4 << 10

// repositoryIndex lists the models.
func (c *call) repositoryIndex() {
	hold := c.oip.Reading()
	defer hold.GiveBack()
	body, fault := c.readBody(maxIndex, &hold)
	var question struct {
		Ready bool `json:"ready"`
	}
	if fault == nil && len(body) > 0 && json.Unmarshal(body, &question) != nil {
		fault = protocol.Errorf(protocol.BadMessage, `the body is not JSON such as {"ready":true}`)
	}
	if fault != nil {
		c.refuse(fault)
		return
	}
	list, absent := c.oip.Index(question.Ready)
	if absent != nil {
		c.refuse(absent)
		return
	}
	c.say(http.StatusOK, list)
}

func (c *call) repositoryLoad() { c.done(c.oip.Load(c.model)) }

func (c *call) repositoryUnload() { c.done(c.oip.Unload(c.model)) }

// done answers what has no answer of its own, unless it is refused.
func (c *call) done(refusal *protocol.Error) {
	if refusal != nil {
		c.refuse(refusal)
		return
	}
	c.say(http.StatusOK, struct{}{})
}
