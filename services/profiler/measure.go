package profiler

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
)

// maxTries is how many times a unit may cost a GPU, which was lost or gave no
// result, before it counts as failed: over all jobs, until it is reported.
const maxTries = 3

// maxJams is how many times in a row a GPU may fail to be cleared, each within
// ActionTimeout, before it counts as hung. That is no fault of the unit's that
// would have come next.
const maxJams = 3

// maxFailures is how often in a row one action may fail before its model counts
// as one that cannot be measured. A unit is some 75 actions, so 3 would not do:
// with a backend that fails one action in 5, every second model would be lost.
const maxFailures = 8

// fate is what became of a GPU while a lane measured on it.
type fate int

const (
	through fate = iota // nothing was left for it
	lost                // its worker is gone
	hung                // its worker lives, and it gives no results
)

// lane measures units on one GPU until none is left for it, or it answers no
// more. After a unit without a result it goes on with the next: that begins with
// clearing the GPU, which tells whether it works still.
func (s *Service) lane(ctx context.Context, g gpu, p *plan, progress *progress, results chan<- outcome) fate {
	for jams := 0; jams < maxJams; {
		if ctx.Err() != nil || s.silent(g) {
			return lost
		}
		u, ok := p.take(g)
		if !ok {
			return through
		}
		m := measuring{service: s, gpu: g, unit: &u, progress: progress}
		err := m.empty(ctx)
		if err != nil && (err.hung || err.passing) {
			jams++
			s.bus.Log.Warn("a GPU cannot be cleared", "worker", g.worker, "gpu", g.id, "times", jams, "reason", err.reason)
			p.giveBack(u)
			if err.passing { // what holds it may end; that takes as long as any action may
				clock.Pause(ctx, s.config.ActionTimeout)
			}
			continue
		}
		jams = 0
		if err == nil {
			err = m.run(ctx)
		}
		switch {
		case ctx.Err() != nil:
			if s.silent(g) { // the next job came because of it
				s.tries.add(u)
			}
			return lost
		case err == nil:
			s.tries.forget(u)
			results <- outcome{profile: u.known}
		case (err.lost || err.hung) && s.tries.add(u) <= maxTries:
			s.bus.Log.Warn("no result while measuring", "model", u.model.Name, "worker", g.worker, "gpu", g.id, "reason", err.reason)
			p.giveBack(u)
		default:
			s.bus.Log.Warn("model not measured", "model", u.model.Name, "gpu", g.gpuType, "reason", err.reason)
			results <- outcome{profile: u.known, reason: err.reason}
		}
		if err != nil && err.lost {
			return lost
		}
	}
	return hung
}

// tries counts, by model and type of GPU, what ended without a result.
type tries struct {
	mu    sync.Mutex
	count map[string]int
}

func (t *tries) add(u unit) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count[u.key()]++
	return t.count[u.key()]
}

func (t *tries) of(u unit) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count[u.key()]
}

func (t *tries) forget(u unit) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.count, u.key())
}

// failure is why a measurement ended. lost: the worker is gone, and another may
// do better; hung: it lives, and no result came; passing: the same action may
// succeed the next time.
type failure struct {
	reason              string
	lost, hung, passing bool
}

// measuring is one unit at work on one GPU.
type measuring struct {
	service  *Service
	gpu      gpu
	unit     *unit
	progress *progress
}

// run makes the measurements that are missing on an empty GPU, and stores each as
// it is made.
func (m *measuring) run(ctx context.Context) *failure {
	if err := m.transfers(ctx); err != nil {
		return err
	}
	for _, batch := range m.unit.model.BatchSizes {
		if at, ok := m.unit.known.At(batch); ok && at.Valid() {
			m.progress.step(m.unit.model.Name, m.gpu.worker, fmt.Sprintf("batch %d is stored", batch))
			continue
		}
		if err := m.batch(ctx, batch); err != nil {
			return err
		}
	}
	return m.do(ctx, protocol.Action{Kind: protocol.EvictWeights}, nil)
}

// transfers measures LoadWeights; it leaves the weights on the GPU.
func (m *measuring) transfers(ctx context.Context) *failure {
	measured := m.unit.known.LoadWeights.Valid()
	iterations := m.service.config.Iterations
	if measured {
		iterations = 1 // only to have them there
	}
	var samples []time.Duration
	for i := range iterations {
		if i > 0 {
			if err := m.do(ctx, protocol.Action{Kind: protocol.EvictWeights}, nil); err != nil {
				return err
			}
		}
		if err := m.do(ctx, protocol.Action{Kind: protocol.LoadWeights}, &samples); err != nil {
			return err
		}
	}
	if measured {
		m.progress.step(m.unit.model.Name, m.gpu.worker, "weights are stored")
		return nil
	}
	m.unit.known.LoadWeights = summarize(samples)
	if !m.unit.known.LoadWeights.Valid() {
		return &failure{reason: fmt.Sprintf("absurd weight transfer times: %v", samples)}
	}
	return m.store(ctx, fmt.Sprintf("weights %v", m.unit.known.LoadWeights.P50.Round(10*time.Microsecond)))
}

// empty makes room: whatever an interrupted run left is dropped.
func (m *measuring) empty(ctx context.Context) *failure {
	return m.do(ctx, protocol.Action{Kind: protocol.ClearCache}, nil)
}

func (m *measuring) batch(ctx context.Context, batch int) *failure {
	infer := protocol.Action{Kind: protocol.Infer, Batch: batch}
	if err := m.do(ctx, infer, nil); err != nil { // the first run is slower
		return err
	}
	var samples []time.Duration
	for range m.service.config.Iterations {
		if err := m.do(ctx, infer, &samples); err != nil {
			return err
		}
	}
	at := summarize(samples)
	if !at.Valid() {
		return &failure{reason: fmt.Sprintf("absurd times at batch %d: %v", batch, samples)}
	}
	known := &m.unit.known
	known.Infer = slices.DeleteFunc(known.Infer, func(b protocol.BatchMeasurement) bool { return b.Batch == batch })
	known.Infer = append(known.Infer, protocol.BatchMeasurement{Batch: batch, Measurement: at})
	slices.SortFunc(known.Infer, func(a, b protocol.BatchMeasurement) int { return a.Batch - b.Batch })
	return m.store(ctx, fmt.Sprintf("batch %d %v", batch, at.P50.Round(10*time.Microsecond)))
}

// store keeps what was measured so far, so that an interrupted job goes on.
func (m *measuring) store(ctx context.Context, what string) *failure {
	if err := m.service.state.PutProfile(ctx, m.unit.known); err != nil {
		m.service.bus.Log.Warn("profile not stored", "model", m.unit.model.Name, "error", err) // it is reported anyway
	}
	m.progress.step(m.unit.model.Name, m.gpu.worker, what)
	return nil
}

// do runs one action on the GPU, again if it fails, and keeps how long it took.
func (m *measuring) do(ctx context.Context, a protocol.Action, samples *[]time.Duration) *failure {
	for n := 1; ; n++ {
		err := m.try(ctx, a, samples)
		if err == nil || !err.passing {
			return err
		}
		m.service.bus.Log.Debug("action failed", "model", m.unit.model.Name, "worker", m.gpu.worker, "gpu", m.gpu.id, "times", n, "reason", err.reason)
		if n == maxFailures {
			err.reason = fmt.Sprintf("%s (%d times in a row)", err.reason, n)
			return err
		}
	}
}

func (m *measuring) try(ctx context.Context, a protocol.Action, samples *[]time.Duration) *failure {
	a.GPU, a.Model, a.Incarnation, a.Epoch = m.gpu.id, m.unit.model.Name, m.gpu.incarnation, m.gpu.epoch
	a.Latest = protocol.Never
	attempt, cancel := context.WithTimeout(ctx, m.service.config.ActionTimeout)
	defer cancel()
	result, err := m.service.actions.Do(attempt, m.gpu.worker, a)
	if err != nil {
		hung := attempt.Err() != nil && !m.service.silent(m.gpu) // else the broker or the worker went away
		return &failure{reason: err.Error(), lost: !hung, hung: hung}
	}
	if result.Code != protocol.OK {
		lost := result.Code == protocol.ShuttingDown || result.Code == protocol.StaleIncarnation
		passing := !lost && (result.Code.Row().Retryable || result.Code == protocol.BackendError || result.Code == protocol.Internal)
		return &failure{reason: fmt.Sprintf("%s: %s: %s", a.Kind, result.Code, result.Message), lost: lost, passing: passing}
	}
	if samples != nil {
		*samples = append(*samples, result.Exec.Device)
	}
	return nil
}

// summarize orders the samples and reads off minimum, median, 99th percentile
// (linear between neighbours) and maximum.
func summarize(samples []time.Duration) protocol.Measurement {
	if len(samples) == 0 {
		return protocol.Measurement{}
	}
	sorted := slices.Sorted(slices.Values(samples))
	at := func(q float64) time.Duration {
		place := q * float64(len(sorted)-1)
		low := int(place)
		high := min(low+1, len(sorted)-1)
		return sorted[low] + time.Duration((place-float64(low))*float64(sorted[high]-sorted[low]))
	}
	return protocol.Measurement{
		Samples: len(sorted),
		Min:     sorted[0],
		P50:     at(0.5),
		P99:     at(0.99),
		Max:     sorted[len(sorted)-1],
	}
}
