package replay

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/protocol"
)

// host is a worker with a driver that does what it wants done, some of it late.
type host struct {
	w   *work.Worker
	o   work.Observer
	now protocol.Time

	stage, execute, fetch, transfer, read []*work.Order
	along                                 bool // outputs are fetched along with the next execution
	closed                                int
	actions                               protocol.ActionID
	events                                int
}

func newHost(o work.Observer) *host {
	c := work.Defaults()
	c.Name, c.Incarnation, c.InputWait, c.MaxOutput = "w1", 1<<64-1, time.Second, 1<<10
	c.GPUs = []work.GPU{{Type: "t4", Pages: 3, PageSize: 16}, {Type: "t4", Pages: 3, PageSize: 16}}
	o.Begin(c)
	return &host{w: work.New(c), o: o}
}

func (h *host) step(e work.Event) {
	h.events++
	h.now = h.now.Add(time.Millisecond)
	out := h.w.Step(h.now, e)
	h.o.Step(h.now, e, out)
	h.stage, h.execute, h.fetch = append(h.stage, out.Stage...), append(h.execute, out.Execute...), append(h.fetch, out.Fetch...)
	h.transfer, h.read = append(h.transfer, out.Transfer...), append(h.read, out.Read...)
	h.closed += len(out.Close)
	for _, o := range out.Stage {
		o.Driver = h // whatever
	}
}

func (h *host) act(a protocol.Action) {
	h.actions++
	a.ID, a.Issuer, a.Earliest, a.Latest = h.actions, 9, h.now, h.now.Add(time.Second)
	h.step(&work.Received{Action: a})
}

func (h *host) load(names ...string) {
	h.act(protocol.Action{Kind: protocol.LoadModelFromDisk, Load: &protocol.LoadSpec{Path: "zoo/a", Names: names}})
}

func (h *host) infer(gpu int, seq uint64) {
	h.act(protocol.Action{Kind: protocol.Infer, GPU: gpu, Model: "a", Batch: 1, Requests: []protocol.RequestRef{{ID: protocol.RequestID{Door: 1, Seq: seq}, Batch: 1}}})
}

func (h *host) input(seq uint64) {
	h.step(&work.Input{ID: protocol.RequestID{Door: 1, Seq: seq}, Bytes: int64(len(secret)), Data: []byte(secret)})
}

// done ends an errand; failed says how.
func (h *host) done(errand int, n int, refusal *protocol.Error) {
	ran := protocol.Phase{Begin: h.now, End: h.now.Add(time.Millisecond), Device: time.Millisecond}
	switch errand {
	case 0:
		h.step(&work.Staged{Order: take(&h.stage, n), Refusal: refusal, Phase: ran})
	case 1:
		h.along = !h.along
		h.step(&work.Executed{Order: take(&h.execute, n), Refusal: refusal, Phase: ran, Begin: ran.Begin, End: ran.End, Fetched: h.along, FetchedPhase: ran})
	case 2:
		h.step(&work.Fetched{Order: take(&h.fetch, n), Refusal: refusal, Phase: ran})
	case 3:
		h.step(&work.Transferred{Order: take(&h.transfer, n), Refusal: refusal, Begin: ran.Begin, End: ran.End})
	case 4:
		spec := served
		spec.Path, spec.Digest = "zoo/a", "d"
		h.step(&work.ModelRead{Order: take(&h.read, n), Refusal: refusal, Begin: ran.Begin, End: ran.End, Spec: spec,
			Profiles: []protocol.Profile{{Digest: "d"}}, Handle: fmt.Sprint("model ", h.events)})
	}
}

func (h *host) owed() []int {
	return []int{len(h.stage), len(h.execute), len(h.fetch), len(h.transfer), len(h.read)}
}

// execute has one of each event of a worker; a model is closed that another copy serves.
func execute(t testing.TB, o work.Observer) {
	h := newHost(o)
	h.step(&work.ClockReading{Epoch: 3, Asked: 1, Answered: 2, Remote: 1000})
	h.load("a")
	h.done(4, 0, nil)
	h.load("a", "b")
	h.done(4, 0, nil) // a twin
	h.act(protocol.Action{Kind: protocol.LoadWeights, Model: "a"})
	h.done(3, 0, nil)
	for seq := range uint64(2) {
		h.input(seq)
		h.infer(0, seq)
		h.done(0, 0, nil)
		h.done(1, 0, nil)
	}
	h.done(2, 0, nil)
	h.act(protocol.Action{Kind: protocol.GetWorkerState})
	h.act(protocol.Action{Kind: protocol.ClearCache, GPU: -1, Models: []string{"a", "b"}})
	h.done(3, 0, nil)
	h.done(3, 0, nil)
	h.step(&work.ExecutorLost{})
	h.step(&work.ExecutorReady{})
	h.step(&work.Tick{})
	h.step(&work.Stop{})
	h.step(&work.Abandon{})
	if h.closed != 2 {
		t.Fatalf("%d models are closed, not the twin and the model", h.closed)
	}
}

// executeAnything gives a worker events by chance, of those that its driver may give.
func executeAnything(o work.Observer, rng *rand.Rand) *host {
	h := newHost(o)
	for range 2000 {
		seq := uint64(h.events/8 + rng.IntN(8))
		switch n := rng.IntN(20); {
		case n < 10:
			errand := rng.IntN(5)
			if owed := h.owed()[errand]; owed > 0 {
				var refusal *protocol.Error
				if rng.IntN(5) == 0 {
					refusal = protocol.Refusal(protocol.BackendError)
				}
				h.done(errand, rng.IntN(owed), refusal)
			}
		case n < 12:
			h.input(seq)
		case n < 15:
			h.infer(rng.IntN(3), seq)
		case n == 15:
			h.load([]string{"a", "b"}[:1+rng.IntN(2)]...)
		case n == 16:
			h.act(protocol.Action{Kind: []protocol.Kind{protocol.LoadWeights, protocol.EvictWeights}[rng.IntN(2)], GPU: rng.IntN(2), Model: "a"})
		case n == 17 && rng.IntN(5) == 0:
			h.act(protocol.Action{Kind: protocol.ClearCache, GPU: -1, Models: []string{"a", "b", "c"}[:rng.IntN(4)]})
		case n == 18 && rng.IntN(5) == 0:
			h.step(&work.ExecutorLost{GPU: rng.IntN(2), Executor: uint32(rng.IntN(4))})
			h.step(&work.ExecutorReady{GPU: rng.IntN(2)})
		case n == 18:
			h.step(&work.ClockReading{Epoch: uint64(1 + h.events/900), Asked: h.now - 1, Answered: h.now, Remote: h.now + 1000})
		case n == 19:
			h.now = h.now.Add(time.Duration(rng.IntN(300)) * time.Millisecond)
			h.step(&work.Tick{})
		}
	}
	h.step(&work.Stop{})
	h.step(&work.Abandon{})
	return h
}

func TestWhatAWorkerDidByChanceIsDecidedAgain(t *testing.T) {
	closed := 0
	for seed := range uint64(30) {
		var file bytes.Buffer
		w, _ := recorder.NewDirect(&file)
		h := executeAnything(w.Work(), rand.New(rand.NewPCG(seed, 2)))
		closed += h.closed
		replayed(t, w, &file, h.events)
	}
	if closed == 0 {
		t.Error("no model was ever closed")
	}
}
