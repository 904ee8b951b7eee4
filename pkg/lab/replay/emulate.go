package replay

import (
	"fmt"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/protocol"
)

// Emulate runs the recording's inputs through a core of this policy, with
// emulated workers, until the recording's end.
func (m *Material) Emulate(policy string, config policies.Config) (*Outcome, error) {
	total := newTally()
	for _, in := range m.cores {
		core, err := policies.New(policy, config)
		if err != nil {
			return nil, fmt.Errorf("emulate: %w", err)
		}
		total.begin()
		e := &rerun{
			core: core, tally: total, wake: protocol.Never, end: in.end,
			times:   durations{m, map[size]int{}, map[size]float64{}},
			there:   median(m.there),
			back:    median(m.back),
			staging: median(m.staging),
			workers: map[string]*worker{}, models: map[string]*protocol.ModelSpec{},
		}
		e.run(in.events)
	}
	return &total.Outcome, nil
}

// rerun is one core with its emulated workers.
type rerun struct {
	core                 sched.Core
	tally                *tally
	times                durations
	now, wake, end       protocol.Time
	there, back, staging time.Duration
	calendar             heap.Heap[func()]
	seq                  uint64
	workers              map[string]*worker
	models               map[string]*protocol.ModelSpec
}

// run lets everything happen in the order of time: what was begun, then the
// core's wake-up, then the recording's next input.
func (e *rerun) run(inputs []timed) {
	for {
		next, input := e.wake, protocol.Never
		first := e.calendar.First()
		if first != nil {
			next = min(next, protocol.Time(first.Key))
		}
		if len(inputs) > 0 {
			input = inputs[0].at
			next = min(next, input)
		}
		if next == protocol.Never || next > e.end {
			return
		}
		e.now = max(e.now, next)
		switch {
		case first != nil && protocol.Time(first.Key) == next:
			e.calendar.Remove(first)
			first.Of()
		case next == e.wake:
			e.wake = protocol.Never
			e.step(&sched.Tick{})
		default:
			e.input(inputs[0].event)
			inputs = inputs[1:]
		}
	}
}

func (e *rerun) after(d time.Duration, do func()) {
	e.seq++
	e.calendar.Set(&heap.Node[func()]{Of: do}, int64(e.now.Add(d)), e.seq)
}

// input has what the recording says happens now.
func (e *rerun) input(event sched.Event) {
	switch v := event.(type) {
	case *sched.Activate:
		for _, spec := range v.State.Models {
			e.models[spec.Name] = &spec
		}
		state := v.State
		state.Workers = nil
		for _, w := range v.State.Workers {
			state.Workers = append(state.Workers, e.join(w))
		}
		event = &sched.Activate{Epoch: v.Epoch, Issuer: v.Issuer, State: state}
	case *sched.WorkerJoined:
		event = &sched.WorkerJoined{State: e.join(v.State)}
	case *sched.WorkerLost:
		if w := e.workers[v.ID]; w != nil && (v.Incarnation == 0 || w.Incarnation() == v.Incarnation) {
			w.lose()
		}
	}
	e.step(event)
}

func (e *rerun) step(event sched.Event) {
	out := e.core.Step(e.now, event)
	e.tally.step(event, &out)
	e.wake = out.Wake
	for _, a := range out.Actions {
		if w := e.workers[a.Worker]; w != nil && !w.lost { // else its result will be overdue
			w.order(a.Action)
		}
	}
}
