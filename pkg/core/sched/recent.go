package sched

import (
	"cmp"
	"slices"

	"clockwork/pkg/protocol"
)

// recentRequests counts a model's requests of late, refused ones included. The count is halved
// every recentHalf, at whole multiples of it by the core's clock. It is for displays.
type recentRequests struct {
	// count is in requests, as of halved.
	count uint64
	// halved is when the count was halved last, or should have been.
	halved protocol.Time
}

// recentHalf is the time in which what was asked for loses half of its weight.
const recentHalf = protocol.LiveStatsEvery

// at brings the count up to an instant, and returns it.
func (r *recentRequests) at(now protocol.Time) uint64 {
	if passed := now.Sub(r.halved) / recentHalf; passed > 0 {
		r.count >>= passed
		r.halved = r.halved.Add(passed * recentHalf)
	}
	return r.count
}

func (r *recentRequests) add(now protocol.Time) { r.count = r.at(now) + 1 }

// CopiesInDemand returns the number of resident copies of each model that has some; of those
// most requested of late, at most so many.
func (s *Snapshot) CopiesInDemand(most int) map[string]int {
	var there []*ModelSnapshot
	for i := range s.Models {
		if s.Models[i].Copies > 0 {
			there = append(there, &s.Models[i])
		}
	}
	slices.SortFunc(there, func(a, b *ModelSnapshot) int {
		return cmp.Or(cmp.Compare(b.Recent, a.Recent), cmp.Compare(a.Name, b.Name))
	})
	copies := map[string]int{}
	for _, m := range there[:min(len(there), most)] {
		copies[m.Name] = m.Copies
	}
	return copies
}
