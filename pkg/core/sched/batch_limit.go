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
	budgetMemory = time.Second
	// surveyEvery is how often a GPU's models are asked what they can spare.
	slackEvery = 100 * time.Millisecond
)

// tightest is the least budget of a model's requests of late.
type minBudget struct {
	budget time.Duration
	at     protocol.Time
}

func (t *minBudget) note(budget time.Duration, now protocol.Time) {
	if t.at == 0 || budget <= t.budget || now.Sub(t.at) > budgetMemory {
		t.budget, t.at = budget, now
	}
}

// survey asks a GPU's models how long it may be busy with others. It takes a look
// at each of them, so it is made only where it decides something.
func (p *clockworkPolicy) refreshSlack(g *gpu) {
	if !p.long || g.slackAt != 0 && p.now.Sub(g.slackAt) < slackEvery {
		return
	}
	g.slackAt, g.slack = p.now, math.MaxInt64
	for _, r := range g.replicas {
		m := r.model
		if m.minBudget.at == 0 || p.now.Sub(m.minBudget.at) > 2*budgetMemory {
			continue
		}
		own := p.config.Buffer + p.config.Ahead + p.inferDelay(&g.worker.delay) + r.exec(1)
		g.slack = min(g.slack, max(0, m.minBudget.budget-own))
	}
}

// most is the largest batch that a copy may run.
func (p *clockworkPolicy) most(r *replica) int {
	cost := r.model.costs[r.gpu.kind]
	limit := p.config.MaxExec
	if limit == 0 {
		limit = math.MaxInt64
	}
	if largest := cost.sizes[len(cost.sizes)-1]; largest.P99 > limit {
		p.refreshSlack(r.gpu)
		limit = max(limit, r.gpu.slack)
	}
	return cost.most(limit)
}
