package workload

import (
	"fmt"
	"math"

	"clockwork/pkg/protocol"
)

// closed is a running closed loop. waiting[i]: client i has sent a request and
// awaits its answer; each client has at most one outstanding request.
type closed struct {
	of      Closed
	waiting []bool
	left    int // requests that no client has started yet
}

func newClosed(of Closed) *closed {
	c := &closed{of: of, waiting: make([]bool, of.Clients), left: of.Requests}
	if of.Requests == 0 {
		c.left = math.MaxInt
	}
	return c
}

// take starts one more request; false if none is left.
func (c *closed) take() bool {
	if c.left == 0 {
		return false
	}
	c.left--
	return true
}

// again returns when a client sends next after an answer at this time.
func (c *closed) again(client int, at protocol.Time) protocol.Time {
	if !c.waiting[client] {
		panic(fmt.Sprintf("workload: client %d of a closed loop was answered twice", client))
	}
	c.waiting[client] = false
	if !c.take() {
		return protocol.Never
	}
	return at.Add(c.of.Think)
}
