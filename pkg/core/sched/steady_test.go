package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// mill drives a core with requests that come evenly, at workers that take
// exactly what was expected. It allocates nothing itself once it has warmed up,
// so that what is allocated is the core's.
type mill struct {
	core    Core
	models  []string
	gap     time.Duration // between two requests
	budget  time.Duration
	now     protocol.Time
	wake    protocol.Time
	next    protocol.Time // arrival
	seq     uint64
	open    [][]milled // by worker, in the order of their end
	workers map[string]int

	submit Submit
	result Result

	steps, submits, results, ticks int
	met, refused                   int
}

// milled is an action under way.
type milled struct {
	id         protocol.ActionID
	kind       protocol.Kind
	worker     string
	begin, end protocol.Time
	items      int
}

// newMill has so many GPUs, each with its share of the models, which run any
// batch size: 2 ms, and 1 ms for each item.
func newMill(t *testing.T, policy string, gpus, models int, load float64) *mill {
	core, err := AnyPolicy(policy, Defaults())
	if err != nil {
		t.Fatal(err)
	}
	state := benchState(gpus, models, false)
	for i := range state.Profiles {
		for j, m := range state.Profiles[i].Infer {
			state.Profiles[i].Infer[j].Measurement = measurement(2*time.Millisecond + time.Duration(m.Batch)*time.Millisecond)
		}
	}
	// A batch of 16 takes 18 ms: 16/18 of a request each ms and GPU at most.
	capacity := float64(gpus) * 16 / 18
	m := &mill{core: core, gap: time.Duration(float64(time.Millisecond) / (load * capacity)), budget: 100 * time.Millisecond,
		wake: protocol.Never, open: make([][]milled, gpus), workers: map[string]int{}}
	for _, spec := range state.Models {
		m.models = append(m.models, spec.Name)
	}
	for i, w := range state.Workers {
		m.workers[w.ID] = i
	}
	m.step(&Activate{Epoch: 1, Issuer: 1, State: state})
	return m
}

func (m *mill) step(e Event) {
	m.steps++
	out := m.core.Step(m.now, e)
	m.wake = out.Wake
	m.refused += len(out.Refusals)
	for _, a := range out.Actions {
		i := m.workers[a.Worker]
		begin := m.now
		if n := len(m.open[i]); n > 0 {
			begin = max(begin, m.open[i][n-1].end)
		}
		m.open[i] = append(m.open[i], milled{id: a.Action.ID, kind: a.Action.Kind, worker: a.Worker, begin: begin, end: begin.Add(a.Action.Expected), items: len(a.Action.Requests)})
	}
}

// run lets so many requests come, and what happens meanwhile.
func (m *mill) run(requests int) {
	for last := m.seq + uint64(requests); m.seq < last; {
		first := -1
		for i := range m.open {
			if len(m.open[i]) > 0 && (first < 0 || m.open[i][0].end < m.open[first][0].end) {
				first = i
			}
		}
		switch {
		case first >= 0 && m.open[first][0].end <= min(m.next, m.wake):
			a := m.open[first][0]
			m.open[first] = append(m.open[first][:0], m.open[first][1:]...)
			m.now = max(m.now, a.end)
			m.results++
			m.met += a.items
			m.result.Result = protocol.Result{Action: a.id, Issuer: 1, Epoch: 1, Incarnation: 1, Worker: a.worker, Kind: a.kind, Code: protocol.OK, Begin: a.begin, End: a.end}
			m.step(&m.result)
		case m.next <= m.wake:
			m.now = max(m.now, m.next)
			m.next = m.next.Add(m.gap)
			m.seq++
			m.submits++
			m.submit.Submission = protocol.Submission{ID: protocol.RequestID{Door: 1, Seq: m.seq}, Model: m.models[m.seq*7919%uint64(len(m.models))], Batch: 1, Budget: m.budget}
			m.step(&m.submit)
		default:
			m.now = max(m.now, m.wake)
			m.ticks++
			m.step(&Tick{})
		}
	}
}

// warm lets so many requests come and forgets the counts.
func (m *mill) warm(requests int) {
	m.run(requests)
	m.steps, m.submits, m.results, m.ticks, m.met, m.refused = 0, 0, 0, 0, 0, 0
}

var allPolicies = []string{"clockwork", "faithful", "deferred", "aimd", "fifo", "simple"}

// In steady state a request that is served costs no allocation: requests,
// actions and the memory of an Output are used again.
func TestServingAllocatesNothing(t *testing.T) {
	const requests = 5000
	for _, policy := range allPolicies {
		for _, load := range []float64{0.2, 0.8} {
			m := newMill(t, policy, 4, 20, load)
			m.warm(20_000) // an estimate is made when its batch size first runs
			allocations := testing.AllocsPerRun(1, func() { m.run(requests) }) / requests
			if m.refused > 0 && (policy == "fifo" || policy == "simple") {
				continue // they make no batches; this is overload for them
			}
			if allocations > 0.001 || m.met < requests {
				t.Errorf("%s at %v of capacity: %v allocations a request, expected none; %d met", policy, load, allocations, m.met)
			}
		}
	}
}

// What is refused costs its refusal alone, with its text and its numbers: three
// allocations, four under the race detector. So an overload, however long, costs no more for each request.
func TestARefusalAllocatesItselfAlone(t *testing.T) {
	for _, policy := range allPolicies {
		m := newMill(t, policy, 4, 20, 10)
		m.warm(5000)
		refused, allocations := m.refused, 0.0
		allocations = testing.AllocsPerRun(1, func() {
			refused = m.refused
			m.run(5000)
		})
		refused = m.refused - refused
		if each := allocations / float64(refused); each > 4.1 || refused < 4000 {
			t.Errorf("%s at ten times its capacity: %d refusals with %v allocations each, expected 4 at most", policy, refused, each)
		}
	}
}

// Nobody polls. A request costs its Submit and, with the others of its batch, a
// Result and two ticks at most: one until which the batch waits, one at which
// the lane has room for it. One that is refused costs a tick, at which its time
// is over. So it is at ten times the capacity as well, for as long as it lasts.
func TestARequestTakesTwoStepsOverTenfoldLoad(t *testing.T) {
	for _, policy := range allPolicies {
		for _, load := range []float64{0.2, 0.8, 10} {
			m := newMill(t, policy, 4, 20, load)
			m.warm(5000)
			m.run(15_000)
			if m.ticks > m.refused+2*m.results {
				t.Errorf("%s at %v of capacity: %d ticks for %d refusals and %d results", policy, load, m.ticks, m.refused, m.results)
			}
			if each := float64(m.steps) / float64(m.submits); each > 2.001 {
				t.Errorf("%s at %v of capacity: %.3f steps a request, expected hardly more than 2", policy, load, each)
			}
			if ended := m.met + m.refused; ended < 14_000 {
				t.Errorf("%s at %v of capacity: %d of 15000 requests have ended", policy, load, ended)
			}
		}
	}
}
