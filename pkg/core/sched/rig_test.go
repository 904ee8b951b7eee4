package sched

import (
	"cmp"
	"testing"
	"time"

	"clockwork/pkg/core/heap"
	"clockwork/pkg/protocol"
)

// rig is a core and what a test tells it. Times are in milliseconds; workers
// have one GPU of type t4.
type rig struct {
	t     *testing.T
	core  *engine
	state protocol.ClockworkState
	seq   uint64
	all   Output // of every step so far
}

// part is a model of a rig: one page, what its weights take to load (5 ms if
// nothing is said), what it takes at batch 1, 2, 4, ..., and the bytes of an item.
type part struct {
	name  string
	any   bool
	load  float64
	exec  []float64
	input int64
}

func millis(ms float64) time.Duration       { return time.Duration(ms * float64(time.Millisecond)) }
func instant(ms float64) protocol.Time      { return protocol.Time(millis(ms)) }
func inMillis(d time.Duration) float64      { return float64(d) / float64(time.Millisecond) }
func millisOf(t protocol.Time) float64      { return inMillis(time.Duration(t)) }
func defaultsWith(set func(*Config)) Config { c := Defaults(); set(&c); return c }

// AnyPolicy makes a core of any policy, the laboratory's too (laboratory_test.go), less
// some improvements.
var AnyPolicy func(policy string, config Config, without ...string) (Core, error)

func newRig(t *testing.T, policy string, config Config, parts ...part) *rig {
	t.Helper()
	core, err := AnyPolicy(policy, config)
	if err != nil {
		t.Fatal(err)
	}
	return rigOf(t, core, parts...)
}

// rigOf has a core of the test's own.
func rigOf(t *testing.T, core Core, parts ...part) *rig {
	r := &rig{t: t, core: core.(*engine)}
	for _, p := range parts {
		var exec []time.Duration
		for _, ms := range p.exec {
			exec = append(exec, millis(ms))
		}
		m, profile := spec(p.name, 1, millis(cmp.Or(p.load, 5)), exec...)
		m.AnyBatch = p.any
		if p.input > 0 {
			m.Inputs = []protocol.TensorSpec{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{p.input}}}
		}
		r.state.Models, r.state.Profiles = append(r.state.Models, m), append(r.state.Profiles, profile)
	}
	r.step(0, &Activate{Epoch: 1, Issuer: 7, State: r.state})
	return r
}

func (r *rig) lanes() *clockworkPolicy { return r.core.policy.(*clockworkPolicy) }

func (r *rig) step(at float64, e Event) Output { return r.stepAt(instant(at), e) }

func (r *rig) stepAt(now protocol.Time, e Event) Output {
	out := r.core.Step(now, e)
	for _, a := range out.Actions {
		a.Action.Requests = append([]protocol.RequestRef(nil), a.Action.Requests...) // the core uses its memory again
		r.all.Actions = append(r.all.Actions, a)
	}
	r.all.Dispatches = append(r.all.Dispatches, out.Dispatches...)
	r.all.Refusals = append(r.all.Refusals, out.Refusals...)
	return out
}

// join brings a worker that holds these models on its GPU.
func (r *rig) join(at float64, worker string, pages int, resident ...string) Output {
	gpu := protocol.GPUState{Type: "t4", PagesTotal: pages, PagesUsed: len(resident), Models: resident}
	return r.step(at, &WorkerJoined{protocol.WorkerState{ID: worker, Incarnation: 1, Models: r.state.Models, GPUs: []protocol.GPUState{gpu}}})
}

// submit submits the next request, of one item; they are numbered from 1.
func (r *rig) submit(at float64, model string, budget float64) Output {
	r.seq++
	id := protocol.RequestID{Door: 1, Seq: r.seq}
	return r.step(at, &Submit{protocol.Submission{ID: id, Model: model, Batch: 1, Budget: millis(budget)}})
}

// result ends an action; where it took no time, it failed before it began.
func (r *rig) result(at float64, a Addressed, code protocol.Code, took float64) Output {
	res := protocol.Result{Action: a.Action.ID, Issuer: 7, Epoch: 1, Incarnation: a.Action.Incarnation, Worker: a.Worker, Kind: a.Action.Kind, Code: code}
	if took > 0 {
		res.Begin, res.End = instant(at-took), instant(at)
	}
	return r.step(at, &Result{res})
}

// until lets time pass: the core is woken whenever it asked to be, so often.
func (r *rig) until(end float64) (ticks int) {
	for {
		first := r.core.timers.First()
		if first == nil || protocol.Time(first.Key) > instant(end) {
			r.step(end, &Tick{})
			return ticks
		}
		ticks++
		r.stepAt(protocol.Time(first.Key), &Tick{})
	}
}

// sent lists the actions of a kind so far.
func (r *rig) sent(kind protocol.Kind) (list []Addressed) {
	for _, a := range r.all.Actions {
		if a.Action.Kind == kind {
			list = append(list, a)
		}
	}
	return list
}

// refused is the code with which a request was refused, "" if it was not.
func (r *rig) refused(seq uint64) protocol.Code {
	for _, d := range r.all.Refusals {
		if d.ID.Seq == seq {
			return d.Refusal.Code
		}
	}
	return ""
}

// seqs are the requests of an action.
func seqs(a Addressed) (list []uint64) {
	for _, ref := range a.Action.Requests {
		list = append(list, ref.ID.Seq)
	}
	return list
}

// arrival is a request of one item that comes at an instant.
type arrival struct {
	at     protocol.Time
	model  string
	budget time.Duration
}

// served is what became of a run.
type served struct {
	met, missed  int // in time; at a worker but too late
	steps, ticks int
}

// running is an action that a worker has begun, or will.
type running struct {
	Addressed
	begin protocol.Time
}

// serve lets the arrivals, in order of time, come to perfect workers: every
// action takes what was expected of it, one transfer and one execution at a
// time, messages take no time. It ends when all is done.
func (r *rig) serve(arrivals []arrival) (s served) {
	var open heap.Heap[running]
	free := map[string]*[2]protocol.Time{}
	deadlines := map[protocol.RequestID]protocol.Time{}
	now, order := r.core.now, uint64(0)
	step := func(e Event) {
		s.steps++
		before := len(r.all.Actions)
		r.stepAt(now, e)
		for _, a := range r.all.Actions[before:] {
			if free[a.Worker] == nil {
				free[a.Worker] = &[2]protocol.Time{}
			}
			lane := &free[a.Worker][laneOf(a.Action.Kind)]
			begin := max(now, *lane)
			*lane = begin.Add(a.Action.Expected)
			order++
			open.Set(&heap.Node[running]{Of: running{a, begin}}, int64(*lane), order)
		}
	}
	for {
		end, coming, wake := protocol.Never, protocol.Never, protocol.Never
		if len(open) > 0 {
			end = protocol.Time(open.First().Key)
		}
		if len(arrivals) > 0 {
			coming = arrivals[0].at
		}
		if first := r.core.timers.First(); first != nil {
			wake = protocol.Time(first.Key)
		}
		now = max(now, min(end, coming, wake))
		switch {
		case now == protocol.Never:
			return s
		case now >= end:
			first := open.First()
			open.Remove(first)
			a := first.Of
			for _, ref := range a.Action.Requests {
				if now <= deadlines[ref.ID] {
					s.met++
				} else {
					s.missed++
				}
			}
			step(&Result{protocol.Result{Action: a.Action.ID, Issuer: 7, Epoch: 1, Incarnation: a.Action.Incarnation, Worker: a.Worker,
				Kind: a.Action.Kind, Code: protocol.OK, Begin: a.begin, End: now}})
		case now >= coming:
			r.seq++
			id := protocol.RequestID{Door: 1, Seq: r.seq}
			deadlines[id] = now.Add(arrivals[0].budget)
			submission := protocol.Submission{ID: id, Model: arrivals[0].model, Batch: 1, Budget: arrivals[0].budget}
			arrivals = arrivals[1:]
			step(&Submit{submission})
		default:
			s.ticks++
			step(&Tick{})
		}
	}
}

// every is so many arrivals, one each gap, from the models in turn.
func every(gap float64, count int, budget float64, models ...string) (list []arrival) {
	for i := range count {
		list = append(list, arrival{instant(float64(i) * gap), models[i%len(models)], millis(budget)})
	}
	return list
}
