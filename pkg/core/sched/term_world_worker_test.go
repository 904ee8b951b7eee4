package sched

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simtime"
)

// wWorker is a worker's process: the core of all workers (package work) with one GPU in
// virtual time, and the clock of its host. It keeps a book of what its GPU was told to do.
type wWorker struct {
	simtime.Process
	w       *termWorld
	id      string
	core    *virtual.Worker
	ahead   time.Duration // of its host's clock
	pace    clocksync.Pace
	mute    wMute
	wrong   protocol.Time // until then they name a clock that it does not know
	liar    bool
	changes []wChange // in this incarnation
	joined  uint64    // the last epoch that this incarnation joined
}

// wMute is until when a worker's heartbeats do not arrive: at one scheduler, or anywhere.
type wMute struct {
	until protocol.Time
	at    *wScheduler
}

// wModels are the models of every epoch: more than there are GPUs, each of which has room for
// one of them.
var wModels, wProfiles = func() (models []protocol.ModelSpec, profiles []protocol.Profile) {
	for _, name := range []string{"m", "n", "o", "p", "q", "r"} {
		m, p := spec(name, 3, 2*time.Millisecond, time.Millisecond, 1500*time.Microsecond, 2500*time.Microsecond)
		m.Path = name
		models, profiles = append(models, m), append(profiles, p)
	}
	return models, profiles
}()

func newWWorker(w *termWorld, i int) *wWorker {
	x := &wWorker{Process: simtime.Process{Clock: &w.Clock}, w: w, id: fmt.Sprintf("w%d", i), liar: i == 3, ahead: w.UpTo(time.Second)}
	c := work.Defaults()
	c.Name, c.Incarnation, c.GenerateInputs = x.id, 1, true
	c.GPUs = []work.GPU{{Type: "t4", Pages: 4}}
	x.core = virtual.New(c, x)
	x.core.GPUs[0].Restarts = func() time.Duration {
		x.weightsLost()
		return w.UpTo(600 * time.Millisecond)
	}
	return x
}

func (x *wWorker) begin() {
	w := x.w
	x.Each(protocol.HeartbeatEvery, x.beat)
	w.After(w.UpTo(clocksync.QueryEvery), x.On(x.askTime))
	x.Each(700*time.Millisecond, func() {
		if w.faulty() {
			x.suffer()
		}
	})
}

// suffer draws a fault now and then.
func (x *wWorker) suffer() {
	w, gpu := x.w, x.core.GPUs[0]
	switch p := w.RNG.Float64(); {
	case p < 0.05:
		x.restart(w.UpTo(900 * time.Millisecond))
	case p < 0.12:
		x.PausedUntil = w.Now.Add(w.UpTo(1200 * time.Millisecond))
	case p < 0.20: // its clock steps: it measures anew
		w.happened.steps++
		x.ahead += w.UpTo(500*time.Millisecond) - 250*time.Millisecond
	case p < 0.23:
		x.wrong = w.Now.Add(w.UpTo(300 * time.Millisecond))
	case p < 0.35: // its heartbeats stay away, but not for long enough to be missed
		x.mute = wMute{until: w.Now.Add(w.UpTo(protocol.HeartbeatLost))}
	case p < 0.45:
		x.muteAtOne()
	case p < 0.48: // it finishes and ends
		w.happened.stops++
		x.core.Step(&work.Stop{})
		w.After(w.UpTo(300*time.Millisecond), x.On(func() { x.restart(w.UpTo(900 * time.Millisecond)) }))
	case p < 0.58:
		w.happened.executors++
		gpu.LoseExecutor(protocol.Refusal(protocol.ExecutorKilled))
	case p < 0.64:
		gpu.Hung = x.Now().Add(w.UpTo(800 * time.Millisecond))
	}
}

// muteAtOne has one of the schedulers not hear the worker for a while, mostly the one that
// leads; it may miss the worker, which nobody else does.
func (x *wWorker) muteAtOne() {
	at := x.w.schedulers[x.w.RNG.IntN(2)]
	if holder := x.w.lease.holder; holder != nil && x.w.chance(0.6) {
		at = holder
	}
	x.mute = wMute{x.w.Now.Add(x.w.UpTo(2 * protocol.HeartbeatLost)), at}
}

// restart ends this incarnation, and begins the next after a while. The first heartbeats may
// be slower than what others say of it.
func (x *wWorker) restart(away time.Duration) {
	x.Incarnation++
	x.PausedUntil = x.w.Now.Add(away) // what arrives meanwhile is lost
	x.w.After(away, func() {
		x.Incarnation++
		x.core.Restart(x.core.Incarnation() + 1)
		x.core.GPUs[0].Hung, x.changes, x.joined, x.pace = 0, nil, 0, clocksync.Pace{}
		x.begin()
		if x.w.faulty() && x.w.chance(0.5) {
			x.muteAtOne()
		}
		if x.w.faulty() && x.w.chance(0.4) { // before it has joined, perhaps
			x.w.After(x.w.UpTo(300*time.Millisecond), x.On(func() { x.restart(x.w.UpTo(100 * time.Millisecond)) }))
		}
	})
}

// loads reports whether this incarnation of a worker can load a model.
func (x *wWorker) loads(model string) bool {
	return model != "n" || (x.core.Incarnation()+uint64(x.id[1]))%3 > 0
}

// has reports whether a model is in the worker's memory.
func (x *wWorker) has(model string) bool {
	return slices.ContainsFunc(x.core.Core.State().Models, func(m protocol.ModelSpec) bool { return m.Name == model })
}

// says is the epoch that the worker says it obeys.
func (x *wWorker) says(obeys uint64) uint64 {
	if x.liar && x.w.chance(0.5) {
		return x.w.lie()
	}
	return obeys
}

func (x *wWorker) beat() {
	w := x.w
	x.core.Step(&work.Tick{}) // as the service does with each heartbeat
	mute := w.Now < x.mute.until
	if mute && x.mute.at == nil {
		return
	}
	h := x.core.Core.Heartbeat()
	h.Service, h.ID, h.Epoch = protocol.Worker, x.id, x.says(h.Epoch)
	if w.Now < x.wrong {
		h.ClockEpoch += 7
	}
	w.said[fmt.Sprint(x.id, h.Incarnation, h.State)] = true
	w.said[fmt.Sprint(x.id, h.Incarnation, h.ClockEpoch)] = true
	for _, s := range w.schedulers {
		if !mute || s != x.mute.at {
			w.loose(s.On(func() { s.workerBeat(h) }))
		}
	}
	w.loose(func() { w.controller.workerBeat(h) })
}

// askTime asks whoever leads for the time, at the pace of all workers.
func (x *wWorker) askTime() {
	x.queryClock()
	idle := x.core.Core.InFlight() == 0 && x.core.Core.ClockEpoch() != 0
	x.w.After(x.pace.Next(x.Now(), idle), x.On(x.askTime))
}

func (x *wWorker) queryClock() {
	asked := x.Now()
	for _, s := range x.w.schedulers {
		x.w.loose(s.On(func() {
			if s.term == nil || s.deaf > x.w.Now {
				return
			}
			r := work.ClockReading{Epoch: s.term.Epoch(), Asked: asked, Remote: s.now()}
			x.w.loose(x.On(func() { x.read(r) }))
		}))
	}
}

// read takes what a scheduler says the time is; that its clock is known is said at once.
func (x *wWorker) read(r work.ClockReading) {
	before := x.core.Core.ClockEpoch()
	r.Answered = x.Now()
	x.core.Step(&r)
	if known := x.core.Core.ClockEpoch(); known != before {
		x.pace.Work(x.Now())
		if known != 0 {
			x.beat()
		}
	}
}

// receive takes an action off the network.
func (x *wWorker) receive(a protocol.Action) {
	if x.pace.Work(x.Now()) {
		x.queryClock()
	}
	x.core.Receive(a)
}

// Now is the time of the worker's host.
func (x *wWorker) Now() protocol.Time { return x.w.Now.Add(x.ahead) }

// Begins says how long an order takes.
func (x *wWorker) Begins(o *work.Order, _ *virtual.GPU) time.Duration {
	x.began(o)
	return o.Action.Expected*9/10 + x.w.UpTo(o.Action.Expected/10)
}

// Reads finds a model on the disk, or not.
func (x *wWorker) Reads(load *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	takes := 5*time.Millisecond + x.w.UpTo(40*time.Millisecond)
	at := slices.IndexFunc(wModels, func(m protocol.ModelSpec) bool { return m.Path == load.Path })
	if !x.loads(load.Path) {
		return protocol.ModelSpec{}, takes, protocol.Refusal(protocol.ModelNotFound)
	}
	return wModels[at], takes, nil
}

// After has the process do something later.
func (x *wWorker) After(d time.Duration, do func()) { x.w.After(d, x.On(do)) }

// EndIn has a run end.
func (x *wWorker) EndIn(d time.Duration, r *virtual.Run) { x.After(d, func() { x.core.End(r) }) }

// WakeIn wakes the worker's core.
func (x *wWorker) WakeIn(d time.Duration, _ *virtual.Worker, turn uint64) {
	x.After(d, func() { x.core.Wake(turn) })
}

// Delivers sends outputs to front doors.
func (x *wWorker) Delivers(o *work.Order) {
	for _, ref := range o.Action.Requests {
		out := &protocol.Output{ID: ref.ID, Model: o.Action.Model, Batch: o.Action.Batch, Items: ref.Batch}
		x.w.doorOf(ref.ID.Door).toDoor(func(d *wDoor) { d.output(x.id, out) })
	}
}

// Answers sends a result to whoever gave the order; some lie about the epoch, which no
// scheduler has had.
func (x *wWorker) Answers(r *protocol.Result, o *work.Order) {
	w, result := x.w, *r
	result.Worker = x.id
	x.ended(r, o)
	if result.State != nil {
		state := *result.State
		state.Epoch = x.says(state.Epoch)
		result.State = &state
	}
	if answer := w.calls[wCall{r.Issuer, r.Action}]; answer != nil {
		w.loose(func() { answer(result) })
		return
	}
	if r.Issuer == controller {
		w.loose(func() { w.controller.result(result) })
		return
	}
	if w.faulty() && w.chance(0.01) {
		result.Epoch = w.lie()
		w.happened.lies++
	}
	for _, s := range w.schedulers {
		w.loose(s.On(func() { s.result(result) }))
	}
}
