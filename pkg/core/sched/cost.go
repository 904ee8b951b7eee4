package sched

import (
	"time"

	"clockwork/pkg/core/estimate"
	"clockwork/pkg/protocol"
)

// costKey names what equal durations are expected of: copies of a model share
// their estimates.
type costKey struct {
	digest, backend, version string
	kind                     int
}

// cost estimates the durations of one model on one type of GPU.
type cost struct {
	config     estimate.Config
	profile    protocol.Profile
	load       *estimate.Estimator
	infer      []*estimate.Estimator       // by batch size, made when it is asked for
	sizes      []protocol.BatchMeasurement // the profile's that may be used, ascending
	sampledAt  []protocol.Time             // when each of them was last measured
	updatedAt  protocol.Time               // when it last learned, or was forgiven
	reviewedAt protocol.Time               // when it was last reconsidered
	changes    uint64                      // of the estimates of executions
}

// estimateTrust is how long an estimate may keep requests away before it is doubted:
// at least this long, and as long as two executions take by the profile.
const estimateTrust = 100 * time.Millisecond

// forgive doubts the estimates that make a request unmeetable: if nothing was
// learned for a while, the largest sample is forgotten, until a request is let
// through again and brings a new one. Else one slow execution could close a
// model for ever, for what is refused brings no samples. A machine that stood
// still for a moment slows all executions at once, so the wait is short.
func (c *engine) forgive(m *model, size int) {
	for _, cost := range m.costs {
		if cost == nil || c.now.Sub(cost.updatedAt) < max(estimateTrust, 2*cost.seed(size)) {
			continue
		}
		cost.updatedAt = c.now
		cost.changes++
		cost.at(size).Forget()
		cost.load.Forget()
		c.markModel(m) // what waits may be met now
	}
}

// excess is how far above what is usual by other sizes an estimate is believed.
const excess = 1.25

// learn takes a measurement, and reconsiders the other sizes by it: those of
// which nothing was heard for a while, and which were slower by the profile than
// this one is now. What slowed them is over, and as long as their estimates are
// high they are not run and bring no samples.
func (c *cost) learn(now protocol.Time, size int, took time.Duration) {
	c.changes++
	c.at(size).Add(took)
	c.updatedAt, c.sampledAt[size] = now, now
	if now.Sub(c.reviewedAt) < estimateTrust {
		return
	}
	c.reviewedAt = now
	usual := excess * float64(took) / float64(max(1, c.seed(size)))
	for other, e := range c.infer {
		if e == nil || other == size || now.Sub(c.sampledAt[other]) < estimateTrust {
			continue
		}
		for limit := usual * float64(c.seed(other)); e.Samples() > 0 && float64(e.Value()) > limit; {
			e.Forget()
		}
	}
}

func newCost(config Config, p protocol.Profile) *cost {
	c := &cost{config: config.Estimate, profile: p, load: estimate.New(config.Estimate, p.LoadWeights.P99)}
	for _, b := range p.Infer {
		if len(c.sizes) == 0 || config.MaxBatch == 0 || b.Batch <= config.MaxBatch {
			c.sizes = append(c.sizes, b)
		}
	}
	return c
}

// most is the largest batch size that takes at most limit by the profile, and
// the smallest there is if none does.
func (c *cost) most(limit time.Duration) int {
	for i := len(c.sizes) - 1; i > 0; i-- {
		if c.sizes[i].P99 <= limit {
			return c.sizes[i].Batch
		}
	}
	return c.sizes[0].Batch
}

// at is the estimator of a batch size, seeded by the profile: between two
// profiled sizes by interpolation.
func (c *cost) at(size int) *estimate.Estimator {
	if size < len(c.infer) && c.infer[size] != nil {
		return c.infer[size]
	}
	for len(c.infer) <= size {
		c.infer, c.sampledAt = append(c.infer, nil), append(c.sampledAt, 0)
	}
	c.infer[size] = estimate.New(c.config, c.seed(size))
	return c.infer[size]
}

func (c *cost) exec(size int) time.Duration { return c.at(size).Value() }

// seed is the p99 of the profile.
func (c *cost) seed(size int) time.Duration { return c.profile.Interpolated(size, protocol.P99Of) }

// kindOf gives the index of a GPU type, and teaches a new one to every model.
func (c *engine) kindOf(name string) int {
	for i, k := range c.kinds {
		if k == name {
			return i
		}
	}
	c.kinds, c.ofKind = append(c.kinds, name), append(c.ofKind, 0)
	for _, m := range c.models {
		m.costs = append(m.costs, c.costOf(m.spec, len(c.kinds)-1))
		m.capable = append(m.capable, 0)
	}
	return len(c.kinds) - 1
}

// costOf finds the estimates of a model on a type of GPU. A type that was
// never profiled borrows the slowest known profile until it has samples; a
// model without any complete profile has nil and is not served.
func (c *engine) costOf(spec protocol.ModelSpec, kind int) *cost {
	key := costKey{spec.Digest, spec.Backend, spec.BackendVersion, kind}
	if known, ok := c.costs[key]; ok {
		return known
	}
	var best *protocol.Profile
	for i := range c.profiles[spec.Digest] {
		p := &c.profiles[spec.Digest][i]
		if !p.Matches(spec, p.GPUType) || !p.Complete(spec) {
			continue
		}
		if p.GPUType == c.kinds[kind] {
			best = p
			break
		}
		if best == nil || slower(p, best) {
			best = p
		}
	}
	if best == nil {
		return nil
	}
	c.costs[key] = newCost(c.config, *best)
	return c.costs[key]
}

func slower(p, q *protocol.Profile) bool {
	a, _ := p.At(1)
	b, _ := q.At(1)
	return a.P99 > b.P99
}

// earliestIfIdle is what serves a request of this size first if every lane were free;
// false when no live GPU can hold the model.
func (c *engine) earliestIfIdle(m *model, size int) (best quote, ok bool) {
	better := func(r *replica, wait time.Duration, on *cost) {
		q := quote{on: r, begin: c.now, load: on.load.Value(), exec: on.exec(size)}
		if wait > 0 {
			q.ready = c.now.Add(wait)
		}
		if !ok || q.end() < best.end() {
			best, ok = q, true
		}
	}
	heard := false
	for _, r := range m.replicas {
		if r.gpu.stalled {
			continue
		}
		heard = true
		on := m.costs[r.gpu.kind]
		switch r.phase {
		case resident:
			better(r, 0, on)
		case loading:
			better(r, max(0, r.transfer.expected.Sub(c.now)), on)
		default:
			better(r, on.load.Value(), on)
		}
	}
	if !heard {
		for kind, n := range m.capable {
			if n > 0 {
				better(nil, m.costs[kind].load.Value(), m.costs[kind])
			}
		}
	}
	return best, ok
}

// minExec is what a request of this size takes at least on the live GPUs that
// can hold the model, 0 without any.
func (c *engine) minExec(m *model, size int) (exec time.Duration) {
	for kind, n := range m.capable {
		if n == 0 {
			continue
		}
		if run := m.costs[kind].exec(size); exec == 0 || run < exec {
			exec = run
		}
	}
	return exec
}

// alone is what one item and the transfer of the weights take at least.
func (c *engine) alone(m *model) (exec, load time.Duration) {
	for kind, cost := range m.costs {
		if m.capable[kind] > 0 && (exec == 0 || cost.exec(1) < exec) {
			exec, load = cost.exec(1), cost.load.Value()
		}
	}
	return exec, load
}

// measured is the duration of a result's execution, 0 if it cannot be
// believed.
func measured(r *protocol.Result) time.Duration {
	d := r.End.Sub(r.Begin)
	if r.Begin == 0 && r.End == 0 {
		d = r.Exec.End.Sub(r.Exec.Begin)
	}
	if d <= 0 || d > protocol.MaxMeasured {
		return 0
	}
	return d
}
