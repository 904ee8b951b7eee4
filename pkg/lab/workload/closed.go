package workload

import (
	"fmt"
	"math"

	"clockwork/pkg/protocol"
)

// closed is a closed loop that runs. waiting tells which clients have sent and
// await their answer; at most one request of each is ever outstanding.
type closed struct {
	of      Closed
	waiting []bool
	left    int // requests that no client has yet taken on
}

func newClosed(of Closed) *closed {
	c := &closed{of: of, waiting: make([]bool, of.Clients), left: of.Requests}
	if of.Requests == 0 {
		c.left = math.MaxInt
	}
	return c
}

// take reports whether there is one more request to send, and takes it on.
func (c *closed) take() bool {
	if c.left == 0 {
		return false
	}
	c.left--
	return true
}

// again returns when a client sends after an answer at this time.
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
