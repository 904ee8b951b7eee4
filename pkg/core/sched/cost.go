package sched

import (
	"slices"
	"time"

	"clockwork/pkg/core/estimate"
	"clockwork/pkg/protocol"
)

// costKey identifies estimates. Copies of a model have one digest and share them.
type costKey struct {
	digest, backend, version string
	kind                     int // index of the GPU type in engine.kinds
}

// gpuKind is a type of GPU under one version of its worker's backend, for which models are
// measured, with pages of one size.
type gpuKind struct {
	name, backend, version string
	pageSize               int64 // in bytes
}

// specOf returns a model as GPUs of this kind run it.
func (k *gpuKind) specOf(m protocol.ModelSpec) protocol.ModelSpec {
	w := protocol.WorkerState{Backend: k.backend, BackendVersion: k.version, PageSize: k.pageSize}
	return w.SpecOf(m)
}

// cost estimates the durations of one model on one type of GPU, from the profile at
// first and then from results.
type cost struct {
	config estimate.Config
	// profile gives the estimate of a batch size without samples. It may be of another,
	// slower GPU type.
	profile protocol.Profile
	// load estimates the transfer of the weights to the GPU.
	load *estimate.Estimator
	// infer estimates executions; the index is the batch size. nil for a size that was
	// not needed yet.
	infer []*estimate.Estimator
	// sizes are the profiled batch sizes that may be used, ascending; at least one.
	sizes []protocol.BatchMeasurement
	// largest is the last of sizes.
	largest protocol.BatchMeasurement
	// batches says which batches pay.
	batches batchCosts
	// sampledAt is when each batch size was last measured, 0 for never; indexed as infer.
	sampledAt []protocol.Time
	// updatedAt is when a sample was last added, or forgive last removed one.
	// reviewedAt is when learn last compared the other sizes.
	updatedAt  protocol.Time
	reviewedAt protocol.Time
	// changes counts the changes of execution estimates; it is part of queueVersion.
	changes uint64
}

// estimateTrust is how long an estimate without new samples may cause refusals: at least
// this long, and at least as long as two executions take by the profile.
const estimateTrust = 100 * time.Millisecond

// forgive corrects the estimates that made a request unmeetable: if they got no sample for
// a while, the largest sample is removed, until a request is admitted and brings a new
// sample. Otherwise one slow execution could make a model refuse every request for ever,
// because refused requests bring no samples. A process that was paused for a moment slows
// all executions at once, so the time is short.
func (c *engine) forgive(m *model, size int) {
	for _, cost := range m.costs {
		if cost == nil || c.now.Sub(cost.updatedAt) < max(estimateTrust, 2*cost.seed(size)) {
			continue
		}
		cost.updatedAt = c.now
		cost.changes++
		cost.at(size).Forget()
		cost.load.Forget()
		c.markModel(m) // waiting requests may be in time now
	}
}

// excess bounds how far an old estimate may be above its profile, relative to the size
// that was measured now.
const excess = 1.25

// learn adds a measurement of one batch size, and corrects the other sizes by the ratio of
// this measurement to its profile. An estimate without a sample for estimateTrust loses
// its largest samples while it exceeds its own profile by more than excess times that
// ratio: whatever slowed that size is over, and while its estimate is high, the size is
// not run and brings no samples.
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

// newCost returns the estimates of a profile, with the batch sizes that config allows.
func newCost(config Config, p protocol.Profile, anySize bool) *cost {
	c := &cost{config: config.Estimate, profile: p, load: estimate.New(config.Estimate, p.LoadWeights.P99)}
	for _, b := range p.Infer {
		if len(c.sizes) == 0 || config.MaxBatch == 0 || b.Batch <= config.MaxBatch {
			c.sizes = append(c.sizes, b)
		}
	}
	c.largest = c.sizes[len(c.sizes)-1]
	c.batches = newBatchCosts(&c.profile, c.sizes, anySize)
	return c
}

// most returns the largest batch size whose profiled p99 is at most limit, the smallest
// size if there is none.
func (c *cost) most(limit time.Duration) int {
	for i := len(c.sizes) - 1; i > 0; i-- {
		if c.sizes[i].P99 <= limit {
			return c.sizes[i].Batch
		}
	}
	return c.sizes[0].Batch
}

// at returns the estimator of a batch size. A new one starts with the profile's value, which
// is interpolated between two profiled sizes.
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

// exec returns the estimated duration of an Infer of this batch size.
func (c *cost) exec(size int) time.Duration { return c.at(size).Value() }

// seed returns the p99 of a batch size in the profile.
func (c *cost) seed(size int) time.Duration { return c.profile.Interpolated(size, protocol.P99Of) }

// kindOf returns the index of a GPU type. A new type extends the tables of all models.
func (c *engine) kindOf(kind gpuKind) int {
	if i := slices.Index(c.kinds, kind); i >= 0 {
		return i
	}
	c.kinds, c.ofKind = append(c.kinds, kind), append(c.ofKind, 0)
	for _, m := range c.models {
		c.extend(m)
	}
	return len(c.kinds) - 1
}

// extend extends a model's tables to all known types of GPUs.
func (c *engine) extend(m *model) {
	for kind := len(m.costs); kind < len(c.kinds); kind++ {
		m.costs = append(m.costs, c.costOf(m.spec, kind))
		m.pages = append(m.pages, c.kinds[kind].specOf(m.spec).Pages)
		m.capable = append(m.capable, 0)
	}
}

// costOf returns the estimates of a model on a type of GPU. For a type that was never
// profiled they start with the slowest known profile. It returns nil for a model without
// a complete profile, which is not served.
func (c *engine) costOf(spec protocol.ModelSpec, kind int) *cost {
	spec = c.kinds[kind].specOf(spec)
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
		if p.GPUType == c.kinds[kind].name {
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
	c.costs[key] = newCost(c.config, *best, spec.AnyBatch)
	return c.costs[key]
}

// slower compares two profiles at batch size 1.
func slower(p, q *protocol.Profile) bool {
	a, _ := p.At(1)
	b, _ := q.At(1)
	return a.P99 > b.P99
}

// earliestIfIdle returns the copy or load that would serve a request of this size first if
// every lane were free; false if no live GPU can hold the model.
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

// minExec returns the shortest execution of a request of this size on the live GPUs that
// can hold the model, 0 without such a GPU.
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

// alone returns the execution of one item and the load of the weights, on the live GPU type
// that executes it fastest; 0 without a GPU that can hold the model.
func (c *engine) alone(m *model) (exec, load time.Duration) {
	for kind, cost := range m.costs {
		if m.capable[kind] > 0 && (exec == 0 || cost.exec(1) < exec) {
			exec, load = cost.exec(1), cost.load.Value()
		}
	}
	return exec, load
}

// measured returns the duration of a result's execution, 0 if it is implausible.
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
