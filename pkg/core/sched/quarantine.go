package sched

import (
	"cmp"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// Quarantine is a model whose requests are refused for its crashes until an instant.
type Quarantine struct {
	Model string
	// Until is when its requests are taken again, unless it crashes once more.
	Until protocol.Time
}

// Left returns how long the model is still refused, 0 if it is not any more.
func (q Quarantine) Left(now protocol.Time) time.Duration { return max(0, q.Until.Sub(now)) }

// Quarantined returns the models that are quarantined in a snapshot, by their ends and names.
func (s *Snapshot) Quarantined() []Quarantine {
	var list []Quarantine
	for i := range s.Models {
		if q := (Quarantine{s.Models[i].Name, s.Models[i].Quarantined}); q.Left(s.Now) > 0 {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b Quarantine) int {
		return cmp.Or(cmp.Compare(a.Until, b.Until), cmp.Compare(a.Model, b.Model))
	})
	return list
}

// StillQuarantined returns those of Quarantined that are quarantined at an instant, as
// heartbeats have them: the latest.
func StillQuarantined(list []Quarantine, now protocol.Time) (still []protocol.QuarantinedModel) {
	for _, q := range list[max(0, len(list)-protocol.MaxQuarantined):] {
		if left := q.Left(now); left > 0 {
			still = append(still, protocol.QuarantinedModel{Name: q.Model, Left: left})
		}
	}
	return still
}

// quarantineLeft returns how long requests of the model are still refused for its crashes.
func (m *model) quarantineLeft(now protocol.Time) time.Duration {
	return Quarantine{Until: m.quarantined}.Left(now)
}
