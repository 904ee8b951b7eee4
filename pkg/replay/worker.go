package replay

import (
	"time"

	"clockwork/pkg/executor"
	"clockwork/pkg/pages"
	"clockwork/pkg/protocol"
	"clockwork/pkg/sched"
)

// worker is an emulated worker.
type worker struct {
	id          string
	incarnation uint64
	gpus        []*gpu
	lost        bool
	life        int // grows when it is lost: what was under way is void
}

// gpu is one of its GPUs: a lane for transfers and one for executions, driven
// as the executor's doc says, and the accounting of pages.
type gpu struct {
	e      *emulation
	worker *worker
	kind   string
	lanes  [2]lane
	pages  *pages.Ledger
}

const (
	transfers = iota
	executions
)

type lane struct {
	executor.Lane
	orders  map[executor.TaskID]*order
	last    executor.TaskID
	running *order
	wakes   protocol.Time // the earliest wake that is on its way
}

// order is an action at a worker.
type order struct {
	gpu             *gpu
	life            int
	action          protocol.Action
	received, begin protocol.Time
}

func (o *order) lane() int {
	if o.action.Kind == protocol.Infer {
		return executions
	}
	return transfers
}

// join has a worker come, or come back: then it holds what it held here,
// whatever it did in the recording.
func (e *emulation) join(state protocol.WorkerState) protocol.WorkerState {
	w := e.workers[state.ID]
	if w == nil || w.incarnation != state.Incarnation {
		if w != nil {
			w.lose()
		}
		w = &worker{id: state.ID, incarnation: state.Incarnation}
		e.workers[state.ID] = w
		for _, g := range state.GPUs {
			w.add(e, g)
		}
		return state
	}
	w.lost = false
	shown := append([]protocol.GPUState(nil), state.GPUs...)
	for i := range shown {
		if id := shown[i].ID; id >= 0 && id < len(w.gpus) {
			shown[i].Models, shown[i].PagesUsed = w.gpus[id].models(), w.gpus[id].pages.Used()
		}
	}
	state.GPUs = shown
	return state
}

// foreign stands for pages of what is no model of the epoch.
const foreign = ""

// maxGPUs and maxPages bound what a recording may claim.
const (
	maxGPUs  = 1 << 10
	maxPages = 1 << 16
)

func (w *worker) add(e *emulation, state protocol.GPUState) {
	if state.ID < 0 || state.ID > maxGPUs {
		return
	}
	for len(w.gpus) <= state.ID {
		w.gpus = append(w.gpus, &gpu{e: e, worker: w, pages: pages.New(0)})
	}
	g := w.gpus[state.ID]
	g.kind, g.pages = state.Type, pages.New(min(max(0, state.PagesTotal), maxPages))
	g.clear()
	for _, name := range state.Models {
		if n := e.pages[name]; n > 0 {
			g.hold(name, n)
		}
	}
	if n := state.PagesUsed - g.pages.Used(); n > 0 {
		g.hold(foreign, n)
	}
}

func (g *gpu) hold(name string, n int) {
	if _, refused := g.pages.Begin(name, n); refused == nil {
		g.pages.Commit(name)
	}
}

func (g *gpu) models() (names []string) {
	for _, name := range g.pages.Loaded() {
		if name != foreign {
			names = append(names, name)
		}
	}
	return names
}

func (g *gpu) clear() {
	for i := range g.lanes {
		g.lanes[i] = lane{orders: map[executor.TaskID]*order{}, last: g.lanes[i].last, wakes: protocol.Never}
	}
}

// lose makes what a worker has under way void. What it was copying is there.
func (w *worker) lose() {
	w.lost = true
	w.life++
	for _, g := range w.gpus {
		for i := range g.lanes {
			if o := g.lanes[i].running; o != nil {
				g.settle(o)
			}
		}
		g.clear()
	}
}

// settle closes the accounting of what ran.
func (g *gpu) settle(o *order) {
	switch o.action.Kind {
	case protocol.Infer:
		g.pages.Done(o.action.Model)
	case protocol.LoadWeights:
		g.pages.Commit(o.action.Model)
	default:
		g.pages.Free(o.action.Model)
	}
}

func (g *gpu) void(o *order) bool { return o.life != g.worker.life }

// receive has an action at its worker. Its inputs come a while after it.
func (g *gpu) receive(o *order) {
	if g.void(o) {
		return
	}
	l := &g.lanes[o.lane()]
	l.last++
	id := l.last
	l.orders[id] = o
	o.received = g.e.now
	ready := o.lane() == transfers || g.e.staging == 0
	g.step(o.lane(), executor.Arrived{Task: executor.Task{ID: id, Earliest: o.action.Earliest, Latest: o.action.Latest}, Ready: ready})
	if !ready {
		g.e.after(g.e.staging, func() {
			if !g.void(o) {
				g.step(executions, executor.Ready{ID: id})
			}
		})
	}
}

func (g *gpu) step(which int, event executor.Event) {
	l := &g.lanes[which]
	for {
		out := l.Step(g.e.now, event)
		for _, x := range out.Expired {
			o := l.orders[x.ID]
			delete(l.orders, x.ID)
			code := protocol.TooLate
			if !x.Ready {
				code = protocol.InputMissing
			}
			g.report(o, code)
		}
		if out.Wake < l.wakes {
			l.wakes = out.Wake
			g.e.after(out.Wake.Sub(g.e.now), g.wake(which))
		}
		if out.Start == 0 {
			return
		}
		o := l.orders[out.Start]
		delete(l.orders, out.Start)
		if g.begin(l, o) {
			return
		}
		event = executor.Ended{}
	}
}

// wake returns what happens when a lane is to be woken.
func (g *gpu) wake(which int) func() {
	life := g.worker.life
	return func() {
		if life == g.worker.life {
			g.lanes[which].wakes = protocol.Never
			g.step(which, executor.Tick{})
		}
	}
}

// begin starts an order, or refuses it and returns false.
func (g *gpu) begin(l *lane, o *order) bool {
	name, key := o.action.Model, size{g.e.times.digests[o.action.Model], g.kind, 0}
	var refused *protocol.Error
	var took time.Duration
	switch o.action.Kind {
	case protocol.Infer:
		_, refused = g.pages.Use(name)
		key.batch = o.action.Batch
		took = g.e.times.next(key)
	case protocol.LoadWeights:
		_, refused = g.pages.Begin(name, g.e.pages[name])
		took = g.e.times.next(key)
	default:
		refused = g.pages.Evict(name)
	}
	if refused != nil {
		g.report(o, refused.Code)
		return false
	}
	l.running, o.begin = o, g.e.now
	g.e.after(took, func() {
		if !g.void(o) {
			g.end(l, o)
		}
	})
	return true
}

func (g *gpu) end(l *lane, o *order) {
	l.running = nil
	g.settle(o)
	g.report(o, protocol.OK)
	g.step(o.lane(), executor.Ended{})
}

// report sends an order's result to the scheduler.
func (g *gpu) report(o *order, code protocol.Code) {
	now, a := g.e.now, &o.action
	r := &sched.Result{Result: protocol.Result{
		Action: a.ID, Issuer: a.Issuer, Epoch: a.Epoch, Incarnation: a.Incarnation, Worker: g.worker.id,
		Kind: a.Kind, Code: code, GPU: a.GPU, Model: a.Model, Batch: a.Batch, Received: o.received, Sent: now,
	}}
	if code == protocol.OK {
		r.Begin, r.End = o.begin, now
	}
	g.e.after(g.e.back, func() {
		if !g.void(o) {
			g.e.step(r)
		}
	})
}
