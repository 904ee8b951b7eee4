package sched

import (
	"time"

	"clockwork/pkg/protocol"
)

// A GPU that has become slow (hot, shared, failing) would spoil the estimates
// that all GPUs of its type share. So each GPU has a slowdown: how its recent
// executions compare with the estimates of its type. A slow GPU is planned with
// its own slowdown, and its measurements do not enter the estimates. The only GPU
// of its type is never slow: its measurements are the estimates.
type slowdown struct {
	// factor is the ratio of measured to estimated duration, averaged over the last
	// executions; at least 1, which is usual.
	factor float64
	// at is when the last execution was judged.
	at protocol.Time
}

const (
	slowFrom       = 1.5 // the least factor of a slow GPU
	suspicious     = 1.1 // the factor above which slow samples do not enter the estimates
	slowest        = 2.0 // bounds the ratio of one execution while the GPU is not slow
	slowdownWeight = 4   // EWMA with weight 1/4

	slowdownMemory = time.Second // without an execution, after which a slow GPU counts as usual
)

// slow reports whether the GPU is planned with its own slowdown.
func (p *slowdown) slow() bool { return p.factor >= slowFrom }

// of returns how long an execution takes on this GPU that usually takes d.
func (p *slowdown) of(d time.Duration) time.Duration {
	if !p.slow() {
		return d
	}
	return time.Duration(float64(d) * p.factor)
}

// judge adds an execution to the factor, and reports whether the execution may enter the
// estimates of the GPU type.
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

// recover resets a slow GPU that has executed nothing for slowdownMemory: it may have got
// no work because of its slowdown, and could not show otherwise.
func (p *slowdown) recover(now protocol.Time) {
	if p.slow() && now.Sub(p.at) > slowdownMemory {
		p.factor = 1
	}
}

// learn adds the measured duration of an Infer to the estimates, if judge accepts it.
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

// exec returns how long an Infer of this batch size takes on the copy's GPU.
func (r *replica) exec(size int) time.Duration {
	return r.gpu.slowdown.of(r.model.costs[r.gpu.kind].exec(size))
}
