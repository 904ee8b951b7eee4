package journal

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
)

// door is a front door with a driver that does what it wants done, some of it late.
type door struct {
	t   testing.TB
	m   *frontdoor.Machine
	o   frontdoor.Observer
	now protocol.Time

	decode, store []*frontdoor.Request
	open          []uint64
	claims        []frontdoor.Claim
	events        int
}

// secret is what clients send and are answered.
const secret = "secret!!"

func newDoor(t testing.TB, o frontdoor.Observer) *door {
	c := frontdoor.Defaults()
	c.ID, c.Subjects, c.DefaultSLO = 1<<64-9, protocol.Subjects{Prefix: "clockwork"}, 100*time.Millisecond
	c.MaxInFlight, c.MaxInFlightBytes, c.MaxInFlightOutputs, c.MaxPayload, c.BufferTimeout = 40, 1<<20, 1<<20, 1<<10, time.Second
	alice := quota.Unlimited
	alice.Rate, alice.Burst = 50, 5
	c.Limits = quota.Rules{Tenants: map[string]quota.Limit{"alice": alice}, Others: quota.Unlimited, Anonymous: quota.Unlimited, OtherModels: quota.Unlimited}
	o.Begin(c)
	return &door{t: t, m: frontdoor.New(c), o: o}
}

func (d *door) step(e frontdoor.Event) {
	d.events++
	d.now = d.now.Add(time.Millisecond)
	out := d.m.Step(d.now, e)
	d.o.Step(d.now, e, out)
	if out.Admitted != nil {
		out.Admitted.Driver = d // whatever
		d.decode = append(d.decode, out.Admitted)
	}
	if out.Store != nil {
		d.store = append(d.store, out.Store)
	}
	for _, r := range out.Submit {
		d.open = append(d.open, r.ID.Seq)
	}
	d.claims = append(d.claims, out.Claim...)
}

// take takes the n-th of a list out of it.
func take[T any](list *[]T, n int) T {
	taken := (*list)[n]
	*list = append((*list)[:n:n], (*list)[n+1:]...)
	return taken
}

func (d *door) send(model, tenant string) {
	reply := "_INBOX.x"
	if tenant != "" {
		reply = "_INBOX_" + tenant + ".x"
	}
	d.step(&frontdoor.Inbound{Model: model, Tenant: tenant, Reply: reply, Bytes: 100, Slow: d.events%3 == 0})
}

func (d *door) decoded(n int) {
	d.step(&frontdoor.Decoded{Request: take(&d.decode, n), ClientID: fmt.Sprint("c", d.events), SLO: 50 * time.Millisecond, Payload: []byte(secret), Batch: 1})
}

func (d *door) word(seq uint64, kind protocol.DispatchKind) {
	e := frontdoor.Dispatched{Dispatch: protocol.Dispatch{ID: protocol.RequestID{Door: 1<<64 - 9, Seq: seq}, Kind: kind, Epoch: d.m.LastEpoch(), Worker: "w1"}}
	if kind == protocol.Refuse {
		e.Refusal = protocol.Refusal("NO_SUCH_CODE")
	}
	d.step(&e)
}

func (d *door) output(seq uint64, worker string) {
	o := protocol.Output{ID: protocol.RequestID{Door: 1<<64 - 9, Seq: seq}, Items: 1, Batch: 1, Data: []byte(secret)}
	d.step(&frontdoor.OutputArrived{Worker: worker, Output: &o})
}

func (d *door) beat(epoch uint64) {
	d.step(&frontdoor.SchedulerBeat{Heartbeat: protocol.Heartbeat{ID: "s", State: protocol.SchedulerActive, Epoch: epoch}})
}

func (d *door) claimed(n int, e frontdoor.Claimed) {
	e.BufferedID, e.Bytes, e.Read = take(&d.claims, n).BufferedID, 100, frontdoor.Decoded{Payload: []byte(secret), Batch: 1}
	d.step(&e)
}

// served is a model whose item has as many bytes as the secret.
var served = protocol.ModelSpec{Name: "a", BatchSizes: []int{1}, Pages: 1,
	Inputs:  []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{2}}},
	Outputs: []protocol.TensorSpec{{Name: "y", Datatype: protocol.FP32, Shape: []int64{2}}}}

// serve has one of each event of a front door.
func serve(t testing.TB, o frontdoor.Observer) {
	d := newDoor(t, o)
	d.send("a", "")
	d.decoded(0)
	d.step(&frontdoor.Stored{Request: take(&d.store, 0)})
	d.step(&frontdoor.StageSeen{Stage: protocol.Active})
	d.step(&frontdoor.ModelSeen{Spec: served})
	d.step(&frontdoor.BufferSeen{BufferedID: frontdoor.BufferedID{Seq: 1, Stored: 5}, Model: "a", Reply: "_INBOX.x", Age: time.Millisecond, Driver: d})
	d.beat(7)
	d.claimed(0, frontdoor.Claimed{Mine: true})
	d.step(&frontdoor.Inbound{Model: "a", Bytes: 100, Direct: true})
	d.decoded(0)
	d.step(&frontdoor.ClientGone{ID: protocol.RequestID{Door: 1<<64 - 9, Seq: 2}})
	d.send("a", "alice")
	d.send("a", "")
	d.send("no\xffmodel", "")
	d.decoded(1)
	d.step(&frontdoor.Undecoded{Request: take(&d.decode, 0), Fault: protocol.Errorf(protocol.BadMessage, "what is %q", "\xfe\ufffd")})
	d.word(1, protocol.ToWorker)
	d.output(1, "w2")
	d.output(1, "w1")
	d.step(&frontdoor.Unsent{ID: protocol.RequestID{Door: 1<<64 - 9, Seq: 1}, Deadline: d.now, Waited: time.Millisecond})
	d.step(&frontdoor.InputSent{})
	d.step(&frontdoor.Connection{})
	d.word(3, protocol.Refuse)
	d.step(&frontdoor.Connection{Up: true, Breaks: 1})
	d.step(&frontdoor.SchedulerLost{Heartbeat: protocol.Heartbeat{ID: "s"}})
	d.step(&frontdoor.ModelDropped{Name: "a"})
	d.step(&frontdoor.Tick{})
	d.step(&frontdoor.BufferLost{})
	d.step(&frontdoor.BufferReleased{})
	d.step(&frontdoor.Stop{})
}

// serveAnything gives a front door events by chance, of those that its driver may give.
func serveAnything(t *testing.T, o frontdoor.Observer, rng *rand.Rand) *door {
	d := newDoor(t, o)
	d.step(&frontdoor.ModelSeen{Spec: served})
	seen := uint64(0)
	for range 2000 {
		switch n := rng.IntN(20); {
		case n < 6:
			d.send([]string{"a", "a", "b", "\xf0"}[rng.IntN(4)], []string{"", "alice", "bob"}[rng.IntN(3)])
		case n < 10 && len(d.decode) > 0:
			d.decoded(rng.IntN(len(d.decode)))
		case n == 10 && len(d.decode) > 0:
			d.step(&frontdoor.Undecoded{Request: take(&d.decode, 0), Fault: protocol.Refusal(protocol.BadMessage)})
		case n == 11 && len(d.store) > 0:
			e := frontdoor.Stored{Request: take(&d.store, rng.IntN(len(d.store)))}
			if rng.IntN(3) == 0 {
				e.Fault = protocol.Refusal(protocol.BufferFull)
			}
			d.step(&e)
		case n < 14 && len(d.open) > 0:
			d.word(d.open[rng.IntN(len(d.open))], protocol.DispatchKind(rng.IntN(6)))
		case n < 16 && len(d.open) > 0:
			d.output(d.open[rng.IntN(len(d.open))], []string{"w1", "w1", "w2"}[rng.IntN(3)])
		case n == 16:
			seen++
			d.step(&frontdoor.BufferSeen{BufferedID: frontdoor.BufferedID{Seq: seen}, Model: "a", Reply: "_INBOX.x", Age: time.Duration(rng.IntN(2)) * time.Second})
		case n == 17 && len(d.claims) > 0:
			d.claimed(rng.IntN(len(d.claims)), frontdoor.Claimed{Mine: rng.IntN(3) > 0, Unknown: rng.IntN(4) == 0})
		case n == 18:
			d.now = d.now.Add(time.Duration(rng.IntN(100)) * time.Millisecond)
			d.step(&frontdoor.Tick{})
		case n == 19:
			d.trouble(rng)
		}
	}
	d.step(&frontdoor.Stop{})
	return d
}

// trouble is what happens seldom.
func (d *door) trouble(rng *rand.Rand) {
	switch rng.IntN(8) {
	case 0, 1:
		d.step(&frontdoor.StageSeen{Stage: protocol.Active})
	case 2, 3, 4:
		d.beat(uint64(1 + d.events/500))
	case 5:
		d.step(&frontdoor.SchedulerLost{Heartbeat: protocol.Heartbeat{ID: "s"}})
	case 6:
		breaks := d.m.Connection().Breaks
		d.step(&frontdoor.Connection{Breaks: breaks})
		d.step(&frontdoor.Connection{Up: true, Breaks: breaks + 1})
	case 7:
		d.step([]frontdoor.Event{&frontdoor.BufferLost{}, &frontdoor.BufferReleased{}}[rng.IntN(2)])
	}
}

func TestWhatAFrontDoorDidByChanceIsDecidedAgain(t *testing.T) {
	for seed := range uint64(30) {
		var file bytes.Buffer
		w, _ := NewWriter(&file)
		d := serveAnything(t, w.FrontDoor(), rand.New(rand.NewPCG(seed, 1)))
		replayed(t, w, &file, d.events)
		if strings.Contains(file.String(), secret) || strings.Contains(file.String(), "c2VjcmV0") {
			t.Fatal("the journal has what clients sent or were answered")
		}
	}
}

// replayed proves a journal of one machine.
func replayed(t *testing.T, w *Writer, file *bytes.Buffer, events int) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	v, err := Verify(bytes.NewReader(file.Bytes()))
	if err != nil || !v.Same() || v.Cut || v.Events != events || len(v.Machines) != 1 || v.Hash != v.Machines[0].Hash {
		t.Fatalf("%v, %+v, %+v", err, v, v.Differs)
	}
}
