package sched

import (
	"cmp"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// Quarantined implements Core: those whose quarantines end last, in the order of their ends.
func (c *engine) Quarantined(now protocol.Time) (list []protocol.QuarantinedModel) {
	if c.quarantinedUntil <= now {
		return nil
	}
	for _, m := range c.models {
		if left := m.quarantineLeft(now); left > 0 {
			list = append(list, protocol.QuarantinedModel{Name: m.spec.Name, Left: left})
		}
	}
	slices.SortFunc(list, func(a, b protocol.QuarantinedModel) int {
		return cmp.Or(cmp.Compare(a.Left, b.Left), cmp.Compare(a.Name, b.Name))
	})
	return list[max(0, len(list)-protocol.MaxQuarantined):]
}

// refused counts the models that a GPU can hold and that are refused for their crashes.
func (c *engine) refused(now protocol.Time) (n int) {
	if c.quarantinedUntil <= now {
		return 0
	}
	for _, m := range c.models {
		if m.quarantineLeft(now) > 0 && m.capableGPUs() > 0 {
			n++
		}
	}
	return n
}

// quarantineLeft returns how long requests of the model are still refused for its crashes.
func (m *model) quarantineLeft(now protocol.Time) time.Duration {
	return max(0, m.quarantined.Sub(now))
}
