package sched

import (
	"math"
	"time"

	"clockwork/pkg/protocol"
)

// A long batch uses the GPU well, but blocks every other model for as long.
// Config.MaxExec bounds that for all models. Beyond it, a batch may take as long as
// every model with a copy on the GPU can spare, by the smallest recent budget of each.
// So tight deadlines make the batches of other models shorter, never shorter than
// MaxExec.

const (
	// budgetMemory is how long a budget counts as recent.
	budgetMemory = time.Second
	// slackEvery is how often a GPU's slack is computed anew.
	slackEvery = 100 * time.Millisecond
)

// minBudget is the smallest recent budget of a model's requests.
type minBudget struct {
	budget time.Duration
	// at is when budget was noted, 0 for never. After budgetMemory the next budget
	// replaces it, after twice that it has no effect.
	at protocol.Time
}

// note takes the budget of a new request.
func (t *minBudget) note(budget time.Duration, now protocol.Time) {
	if t.at == 0 || budget <= t.budget || now.Sub(t.at) > budgetMemory {
		t.budget, t.at = budget, now
	}
}

// recent reports whether there has been a budget lately.
func (t *minBudget) recent(now protocol.Time) bool {
	return t.at != 0 && now.Sub(t.at) <= 2*budgetMemory
}

// refreshSlack computes gpuPlan.slack: how long a GPU may execute one batch before requests
// of another model miss their budgets. It visits every model of the GPU, so it runs at
// most once in slackEvery, and only if the slack decides something.
func (p *clockworkPolicy) refreshSlack(g *gpu) {
	if !p.Long || g.slackAt != 0 && p.now.Sub(g.slackAt) < slackEvery {
		return
	}
	g.slackAt, g.slack = p.now, math.MaxInt64
	for _, r := range g.replicas {
		m := r.model
		if !m.minBudget.recent(p.now) {
			continue
		}
		own := p.config.Buffer + p.config.Ahead + p.inferDelay(&g.worker.delay, m.itemBytes) + r.exec(1)
		g.slack = min(g.slack, max(0, m.minBudget.budget-own))
	}
}

// most returns the largest batch size that a copy may run of so many items.
func (p *clockworkPolicy) most(r *replica, items int) int {
	cost := r.model.costs[r.gpu.kind]
	most := cost.largest.Batch
	if cost.largest.P99 > p.config.MaxExec {
		most = p.longest(r)
	}
	if items = min(items, most); p.Paying && items > 1 {
		if paying := cost.batches.of(items); paying < items {
			return paying
		}
	}
	return most
}

// longest returns the largest batch size that takes no longer than a copy may run.
func (p *clockworkPolicy) longest(r *replica) int {
	cost := r.model.costs[r.gpu.kind]
	limit := p.config.MaxExec
	if limit == 0 {
		limit = math.MaxInt64
	}
	if cost.largest.P99 > limit {
		p.refreshSlack(r.gpu)
		limit = max(limit, r.gpu.slack)
	}
	return cost.most(limit)
}
