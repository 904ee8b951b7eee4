package sched

import (
	"math/rand"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

const inboundBound = 1000

// inboundWorld is a worker behind a broker: inputs that front doors were told to send are on
// their way until their Infer ends, and for missedFor longer if it missed them.
type inboundWorld struct {
	t         *testing.T
	rng       *rand.Rand
	core      Core
	now, wake protocol.Time
	sizes     map[protocol.RequestID]int64
	open      map[protocol.RequestID]protocol.Time // until when each may be served
	onTheWay  int64
	most      int64 // that were on their way at once
	batch     int64 // the largest one, in bytes
	missed    int
	served    int
	ticks     int // without an end of time between them
	coming    []inboundResult
	members   map[protocol.ActionID][]protocol.RequestID
}

// inboundResult is a result on its way, or the end of missed inputs.
type inboundResult struct {
	at     protocol.Time
	bytes  int64
	result *protocol.Result // nil: these bytes are on their way no more
}

// However many front doors send a worker inputs, no more are on their way to it than the bound
// and one batch, and every request ends.
func TestInputsOnTheirWayAreBoundedForAllFrontDoors(t *testing.T) {
	for _, policy := range []string{"clockwork", "simple"} {
		t.Run(policy, func(t *testing.T) {
			most, missed, served := int64(0), 0, 0
			for seed := int64(1); seed <= 20; seed++ {
				w := playInbound(t, policy, seed)
				most, missed, served = max(most, w.most), missed+w.missed, served+w.served
			}
			if most < inboundBound || missed == 0 {
				t.Errorf("%d bytes were on their way, %d inputs missed: the test proves little", most, missed)
			}
			if served < 4500 { // of 6000; some have little time
				t.Errorf("%d requests were served", served)
			}
		})
	}
}

func playInbound(t *testing.T, policy string, seed int64) *inboundWorld {
	config := Defaults()
	config.MaxInbound = inboundBound
	core, err := AnyPolicy(policy, config)
	if err != nil {
		t.Fatal(err)
	}
	w := &inboundWorld{t: t, rng: rand.New(rand.NewSource(seed)), core: core, now: 1,
		sizes: map[protocol.RequestID]int64{}, open: map[protocol.RequestID]protocol.Time{}, members: map[protocol.ActionID][]protocol.RequestID{}}
	m, p := spec("a", 1, time.Millisecond, 10*time.Millisecond, 15*time.Millisecond, 20*time.Millisecond)
	m.Inputs = []protocol.TensorSpec{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{150}}}
	host := protocol.WorkerState{ID: "w", Incarnation: 1, Models: []protocol.ModelSpec{m}}
	for id := range 4 {
		host.GPUs = append(host.GPUs, protocol.GPUState{ID: id, Type: "t4", PagesTotal: 4, PagesUsed: 1, Models: []string{"a"}})
	}
	w.step(&Activate{Epoch: 1, Issuer: 7, State: protocol.ClockworkState{
		Models: []protocol.ModelSpec{m}, Profiles: []protocol.Profile{p}, Workers: []protocol.WorkerState{host}}})
	for n := uint64(1); n <= 300; n++ {
		id := protocol.RequestID{Door: 1 + n%5, Seq: n}
		budget := w.millis(100, 5000)
		items := 1 + w.rng.Intn(2)
		w.sizes[id], w.open[id] = int64(items)*m.ItemBytes(), w.now.Add(budget)
		w.step(&Submit{protocol.Submission{ID: id, Model: "a", Batch: items, Budget: budget}})
		w.until(w.now.Add(w.millis(0, 10)))
	}
	w.until(w.now.Add(time.Minute))
	if len(w.open) > 0 || w.onTheWay != 0 {
		t.Errorf("seed %d: %d requests have not ended, %d bytes are on their way", seed, len(w.open), w.onTheWay)
	}
	if w.most >= inboundBound+w.batch {
		t.Errorf("seed %d: %d bytes were on their way", seed, w.most)
	}
	return w
}

func (w *inboundWorld) millis(from, to int) time.Duration {
	return time.Duration(from+w.rng.Intn(to-from)) * time.Millisecond
}

// until lets happen what is due up to an instant.
func (w *inboundWorld) until(end protocol.Time) {
	for {
		slices.SortStableFunc(w.coming, func(a, b inboundResult) int { return int(a.at - b.at) })
		switch {
		case len(w.coming) > 0 && w.coming[0].at <= min(w.wake, end):
			w.arrive()
		case w.wake <= end:
			if w.ticks++; w.wake > w.now {
				w.ticks = 0
			}
			if w.ticks > 100 {
				w.t.Fatalf("the core wakes again and again at %v", w.now)
			}
			w.now = max(w.now, w.wake)
			w.step(&Tick{})
		default:
			w.now = end
			return
		}
	}
}

// arrive delivers the first result, or ends the time of missed inputs.
func (w *inboundWorld) arrive() {
	first := w.coming[0]
	w.coming = w.coming[1:]
	w.now = max(w.now, first.at)
	switch {
	case first.result == nil:
		w.onTheWay -= first.bytes
		return
	case first.result.Code == protocol.InputMissing:
		w.coming = append(w.coming, inboundResult{at: w.now.Add(missedFor), bytes: first.bytes})
	default:
		w.onTheWay -= first.bytes
	}
	w.step(&Result{*first.result})
}

func (w *inboundWorld) step(e Event) {
	out := w.core.Step(w.now, e)
	w.wake = out.Wake
	for _, d := range out.Refusals {
		delete(w.open, d.ID)
	}
	if r, is := e.(*Result); is && r.Code == protocol.OK {
		for _, id := range w.members[r.Action] {
			delete(w.open, id)
			w.served++
		}
	}
	for i := range out.Actions {
		if a := &out.Actions[i].Action; a.Kind == protocol.Infer {
			w.send(a)
		}
	}
	w.checkIdle()
}

// checkIdle looks whether the worker stands idle although there is room for inputs, and a
// request that has time.
func (w *inboundWorld) checkIdle() {
	if w.onTheWay >= inboundBound || slices.ContainsFunc(w.coming, func(c inboundResult) bool { return c.result != nil }) {
		return
	}
	for id, until := range w.open {
		if until.Sub(w.now) > 100*time.Millisecond {
			w.t.Fatalf("at %v request %v waits, and the worker has nothing to do", w.now, id)
		}
	}
}

// send has the worker execute an Infer, or miss its inputs.
func (w *inboundWorld) send(a *protocol.Action) {
	if w.onTheWay >= inboundBound {
		w.t.Fatalf("at %v %d bytes are on their way, and more are sent", w.now, w.onTheWay)
	}
	bytes := int64(0)
	for _, r := range a.Requests {
		bytes += w.sizes[r.ID]
		w.members[a.ID] = append(w.members[a.ID], r.ID)
	}
	w.onTheWay += bytes
	w.most, w.batch = max(w.most, w.onTheWay), max(w.batch, bytes)
	at := w.now.Add(w.millis(1, 12))
	r := &protocol.Result{Action: a.ID, Issuer: a.Issuer, Epoch: a.Epoch, Worker: "w", Kind: a.Kind, Code: protocol.OK, Begin: w.now, End: at}
	if w.rng.Intn(40) == 0 {
		r.Code, r.Begin, r.End = protocol.InputMissing, 0, 0
		w.missed++
	}
	w.coming = append(w.coming, inboundResult{at, bytes, r})
}
