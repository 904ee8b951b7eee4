package worker

import (
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/livestats"
)

// shown is the source of a worker's live statistics.
type shown struct {
	*livestats.Worker
	agent *agent
}

// LiveStats implements bus.StatsSource.
func (s *shown) LiveStats(now time.Time) protocol.LiveStats {
	f, known := s.Worker.LiveStats(now), s.agent.gauges()
	f.Worker.InFlight, f.Worker.Models = known.InFlight, known.Models
	for i := range f.Worker.GPUs {
		g, told := &known.GPUs[i], &f.Worker.GPUs[i]
		told.Type, told.PagesTotal, told.PagesUsed, told.Models = g.Type, g.PagesTotal, g.PagesUsed, g.Models
		told.Stalled = g.Stalled
	}
	return f
}
