package sched

import (
	"fmt"

	"clockwork/pkg/protocol"
)

// echo answers every request at once, so that the time of the messages alone is measured.
type echo struct{ stats Stats }

// Step answers a Submit; other events do nothing.
func (c *echo) Step(_ protocol.Time, e Event) Output {
	s, ok := e.(*Submit)
	if !ok {
		return Output{Wake: protocol.Never}
	}
	c.stats.Submitted++
	c.stats.Answered++
	return Output{Dispatches: []protocol.Dispatch{{ID: s.ID, Kind: protocol.Answer}}, Wake: protocol.Never}
}

func (c *echo) Stats() Stats                                          { return c.stats }
func (c *echo) Unavailable() []string                                 { return nil }
func (c *echo) Capacity(protocol.Time) protocol.Capacity              { return protocol.Capacity{GPUs: 1} } // itself: it answers without any GPU
func (c *echo) Quarantined(protocol.Time) []protocol.QuarantinedModel { return nil }
func (c *echo) Snapshot(into *Snapshot)                               { *into = Snapshot{} }
func (c *echo) Waits(protocol.RequestID) (r Reason, ok bool)          { return r, false }
func (c *echo) String() string                                        { return fmt.Sprintf("echo answered %d\n", c.stats.Answered) }
