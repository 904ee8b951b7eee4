package sched

import (
	"cmp"
	"testing"
	"time"

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
// nothing is said), and what it takes at batch 1, 2, 4, ...
type part struct {
	name string
	any  bool
	load float64
	exec []float64
}

func millis(ms float64) time.Duration       { return time.Duration(ms * float64(time.Millisecond)) }
func instant(ms float64) protocol.Time      { return protocol.Time(millis(ms)) }
func inMillis(d time.Duration) float64      { return float64(d) / float64(time.Millisecond) }
func millisOf(t protocol.Time) float64      { return inMillis(time.Duration(t)) }
func defaultsWith(set func(*Config)) Config { c := Defaults(); set(&c); return c }

func newRig(t *testing.T, policy string, config Config, parts ...part) *rig {
	t.Helper()
	core, err := New(policy, config)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, core: core.(*engine)}
	for _, p := range parts {
		var exec []time.Duration
		for _, ms := range p.exec {
			exec = append(exec, millis(ms))
		}
		m, profile := spec(p.name, 1, millis(cmp.Or(p.load, 5)), exec...)
		m.AnyBatch = p.any
		r.state.Models, r.state.Profiles = append(r.state.Models, m), append(r.state.Profiles, profile)
	}
	r.step(0, &Activate{Epoch: 1, Issuer: 7, State: r.state})
	return r
}

func (r *rig) lanes() *lanes { return r.core.policy.(*lanes) }

func (r *rig) step(at float64, e Event) Output {
	out := r.core.Step(instant(at), e)
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

// until lets time pass: the core is woken whenever it asked to be.
func (r *rig) until(end float64) {
	for {
		first := r.core.timers.First()
		if first == nil || protocol.Time(first.Key) > instant(end) {
			r.step(end, &Tick{})
			return
		}
		r.step(millisOf(protocol.Time(first.Key)), &Tick{})
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
