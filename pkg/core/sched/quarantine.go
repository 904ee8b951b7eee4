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

// quarantineLeft returns how long requests of the model are still refused for its crashes.
func (m *model) quarantineLeft(now protocol.Time) time.Duration {
	return max(0, m.quarantined.Sub(now))
}
