package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// A GPU that has become slow (hot, shared, failing) would spoil the estimates
// that all GPUs of its type share. So each GPU has a slowdown: how its recent
// executions compare with what is usual on its type. A slow GPU is planned with
// its own slowdown, and what it measures is kept out of the estimates. The only GPU
// of its type sets what is usual.
type slowdown struct {
	factor float64       // 1 is usual; averaged over the last executions
	at     protocol.Time // of the last of them
}

const (
	slowFrom       = 1.5 // the factor from which on a GPU counts as slow
	suspicious     = 1.1 // above it, slow samples are not believed any more
	slowest        = 2.0 // a single execution counts for no more than this much
	slowdownWeight = 4   // EWMA with weight 1/4

	slowdownMemory = time.Second // without an execution, after which a slowdown is forgotten
)

func (p *slowdown) slow() bool { return p.factor >= slowFrom }

// of is how long something takes here that usually takes d.
func (p *slowdown) of(d time.Duration) time.Duration {
	if !p.slow() {
		return d
	}
	return time.Duration(float64(d) * p.factor)
}

// judge takes note of an execution, and says whether it tells what is usual.
func (p *slowdown) judge(now protocol.Time, took, usual time.Duration) bool {
	ratio := float64(took) / float64(max(1, usual))
	believed := ratio < slowFrom || p.factor <= suspicious
	if !p.slow() {
		ratio = min(ratio, slowest)
	}
	p.factor += (ratio - p.factor) / slowdownWeight
	p.factor = max(1, p.factor)
	p.at = now
	return believed && !p.slow()
}

// recover forgets the slowdown of a GPU that has not shown it for a while: a slow
// one may have got nothing to do because of it.
func (p *slowdown) recover(now protocol.Time) {
	if p.slow() && now.Sub(p.at) > slowdownMemory {
		p.factor = 1
	}
}

// learn takes a measurement of an Infer into the estimates.
func (c *engine) learn(a *action, took time.Duration) {
	g := a.replica.gpu
	cost := a.replica.model.costs[g.kind]
	if c.ofKind[g.kind] > 1 {
		if !g.slowdown.judge(c.now, took, cost.at(a.size).Median()) {
			return
		}
	} else {
		g.slowdown.factor = 1
	}
	cost.learn(c.now, a.size, took)
}

// exec is what an Infer of this size takes on the copy's GPU.
func (r *replica) exec(size int) time.Duration {
	return r.gpu.slowdown.of(r.model.costs[r.gpu.kind].exec(size))
}
