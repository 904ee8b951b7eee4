package worker

import (
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/figures"
)

// shown are a worker's figures, for those who watch it work.
type shown struct {
	*figures.Worker
	agent *agent
}

// Figures implements bus.Counted.
func (s *shown) Figures(now time.Time) protocol.Figures {
	f, known := s.Worker.Figures(now), s.agent.reading()
	f.Worker.InFlight, f.Worker.Models = known.InFlight, known.Models
	for i := range f.Worker.GPUs {
		g, told := &known.GPUs[i], &f.Worker.GPUs[i]
		told.Type, told.PagesTotal, told.PagesUsed, told.Models = g.Type, g.PagesTotal, g.PagesUsed, g.Models
	}
	return f
}
