package worker

import (
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/livestats"
)

// shown are a worker's figures, for those who watch it work.
type shown struct {
	*livestats.Worker
	agent *agent
}

// Figures implements bus.Counted.
func (s *shown) LiveStats(now time.Time) protocol.LiveStats {
	f, known := s.Worker.LiveStats(now), s.agent.gauges()
	f.Worker.InFlight, f.Worker.Models = known.InFlight, known.Models
	for i := range f.Worker.GPUs {
		g, told := &known.GPUs[i], &f.Worker.GPUs[i]
		told.Type, told.PagesTotal, told.PagesUsed, told.Models = g.Type, g.PagesTotal, g.PagesUsed, g.Models
	}
	return f
}
