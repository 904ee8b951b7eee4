package worker

import (
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/telemetry/figures"
)

// shown are a worker's figures, for those who watch it work.
type shown struct {
	*figures.Worker
	agent *agent
}

// Figures implements bus.Counted.
func (s *shown) Figures(now time.Time) protocol.Figures {
	f, a := s.Worker.Figures(now), s.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	f.Worker.InFlight, f.Worker.Models = a.inFlight, len(a.library)
	for i := range f.Worker.GPUs {
		g, told := a.gpus[i], &f.Worker.GPUs[i]
		told.Type, told.PagesTotal, told.PagesUsed, told.Models = g.info.Type, g.pages.Total(), g.pages.Used(), len(g.weights)
	}
	return f
}
