package sched

import (
	"math"
	"time"

	"clockwork/pkg/protocol"
)

// A long batch uses the GPU well, but keeps it from every other model for as
// long. Config.MaxExec bounds that for all; beyond it, a batch may take as long
// as every model that has a copy on the GPU can spare, by the tightest budgets
// of late. So who asks for tight deadlines makes the batches of others shorter,
// though never shorter than MaxExec.

const (
	// tightFor is how long a budget counts as of late.
	tightFor = time.Second
	// surveyEvery is how often a GPU's models are asked what they can spare.
	surveyEvery = 100 * time.Millisecond
)

// tightest is the least budget of a model's requests of late.
type tightest struct {
	budget time.Duration
	at     protocol.Time
}

func (t *tightest) note(budget time.Duration, now protocol.Time) {
	if t.at == 0 || budget <= t.budget || now.Sub(t.at) > tightFor {
		t.budget, t.at = budget, now
	}
}

// survey asks a GPU's models how long it may be busy with others. It takes a look
// at each of them, so it is made only where it decides something.
func (p *lanes) survey(g *gpu) {
	if !p.long || g.surveyed != 0 && p.now.Sub(g.surveyed) < surveyEvery {
		return
	}
	g.surveyed, g.leeway = p.now, math.MaxInt64
	for _, r := range g.replicas {
		m := r.model
		if m.tightest.at == 0 || p.now.Sub(m.tightest.at) > 2*tightFor {
			continue
		}
		own := p.config.Buffer + p.config.Ahead + p.reach(&g.worker.way) + r.exec(1)
		g.leeway = min(g.leeway, max(0, m.tightest.budget-own))
	}
}

// most is the largest batch that a copy may run.
func (p *lanes) most(r *replica) int {
	cost := r.model.costs[r.gpu.kind]
	limit := p.config.MaxExec
	if limit == 0 {
		limit = math.MaxInt64
	}
	if largest := cost.sizes[len(cost.sizes)-1]; largest.P99 > limit {
		p.survey(r.gpu)
		limit = max(limit, r.gpu.leeway)
	}
	return cost.most(limit)
}
