package sched

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// host is a worker of a world: it does what it is told, one inference and one
// transfer at a time on each GPU, in order of arrival, inside the windows.
// Pages are counted in the plainest way: by adding up what is there.
type host struct {
	world       *world
	id, kind    string
	incarnation uint64
	total       int
	devices     []*device
	answered    map[protocol.ActionID]*protocol.Result // nil: received, not yet answered
	up, cut     bool
	hung        protocol.Time // does nothing until then
	slow        float64
	doubtful    bool // was cut off in this life, or an executor ended: what was on its way may be forgotten
	executors   bool // each GPU has a process of its own
}

type device struct {
	lanes  [2][]protocol.Action // transfers, executions; the first one runs
	busy   [2]bool
	loaded map[string]bool // false: being loaded
	in     map[string]int  // executions that use the weights
	process
}

func (h *host) empty(gpus int) {
	h.devices, h.answered, h.doubtful = nil, map[protocol.ActionID]*protocol.Result{}, false
	for range gpus {
		h.devices = append(h.devices, &device{loaded: map[string]bool{}, in: map[string]int{}})
	}
}

func (h *host) pages(d *device) (sum int) {
	for model := range d.loaded {
		sum += h.spec(model).Pages
	}
	return sum
}

func (h *host) spec(model string) protocol.ModelSpec {
	at := slices.IndexFunc(h.world.specs, func(m protocol.ModelSpec) bool { return m.Name == model })
	return h.world.specs[at]
}

// join tells the core what is here; the news takes a while.
func (h *host) join() {
	if !h.up || h.cut {
		return
	}
	s := protocol.WorkerState{ID: h.id, Incarnation: h.incarnation, Models: h.world.specs}
	for i, d := range h.devices {
		g := protocol.GPUState{ID: i, Type: h.kind, PagesTotal: h.total, PagesUsed: h.pages(d), Executor: d.ended}
		for _, model := range sortedModels(d.loaded) {
			if d.loaded[model] {
				g.Models = append(g.Models, model)
			} else {
				g.Moving = append(g.Moving, model)
			}
		}
		s.GPUs = append(s.GPUs, g)
	}
	h.world.after(between(h.world.setup, 0, 5*time.Millisecond), func() {
		if h.world.known[h.id] <= s.Incarnation { // the shell drops older news
			h.world.step(&WorkerJoined{State: s})
			h.tellHealth()
		}
	})
}

func (h *host) lost(incarnation uint64) {
	h.world.step(&WorkerLost{ID: h.id, Incarnation: incarnation})
}

// crash ends a life; the next one may begin before the end was noticed.
func (h *host) crash(length, notice time.Duration) {
	if !h.up || h.cut {
		return
	}
	h.world.faults.crashes++
	old := h.incarnation
	h.up = false
	h.empty(len(h.devices))
	h.world.after(notice, func() { h.lost(old) })
	h.world.after(length, func() {
		h.up = true
		h.incarnation++
		h.join()
	})
}

// cutOff keeps every message from a worker that lives on. If that is noticed,
// it comes back with the same incarnation and all it holds.
func (h *host) cutOff(length, notice time.Duration) {
	if !h.up || h.cut {
		return
	}
	h.world.faults.cuts++
	h.cut, h.doubtful = true, true
	if h.world.faulty.IntN(2) == 0 { // its GPUs do what they had been told after it is back
		h.hang(length + notice)
	}
	noticed := notice < length
	if noticed {
		h.world.after(notice, func() { h.lost(h.incarnation) })
	}
	h.world.after(length, func() {
		h.cut = false
		if noticed {
			h.join()
		}
	})
}

func (h *host) hang(length time.Duration) {
	h.world.faults.hangs++
	h.hung = max(h.hung, h.world.now.Add(length))
}

func (h *host) slowDown(length time.Duration, times float64) {
	h.world.faults.slow++
	h.slow = times
	h.world.after(length, func() { h.slow = 1 })
}

// whenAwake does something for this life of the worker, once it does not hang.
func (h *host) whenAwake(d time.Duration, do func()) {
	life := h.incarnation
	h.world.after(d, func() {
		switch {
		case !h.up || h.incarnation != life:
		case h.hung > h.world.now:
			h.whenAwake(h.hung.Sub(h.world.now), do)
		default:
			do()
		}
	})
}

func (h *host) receive(a protocol.Action) {
	if !h.up {
		return
	}
	h.whenAwake(0, func() {
		if r, known := h.answered[a.ID]; known {
			if r != nil {
				h.send(*r)
			}
			return
		}
		h.answered[a.ID] = nil
		if a.Incarnation != h.incarnation {
			h.answer(a, protocol.StaleIncarnation, 0)
			return
		}
		d, lane := h.devices[a.GPU], laneOf(a.Kind)
		d.lanes[lane] = append(d.lanes[lane], a)
		h.run(d, lane)
	})
}

func laneOf(k protocol.Kind) int {
	if k == protocol.Infer {
		return 1
	}
	return 0
}

// run begins the next action of a lane that is free.
func (h *host) run(d *device, lane int) {
	if d.busy[lane] || len(d.lanes[lane]) == 0 {
		return
	}
	a := d.lanes[lane][0]
	d.lanes[lane] = d.lanes[lane][1:]
	code, took := h.begin(d, a)
	if code != protocol.OK {
		h.answer(a, code, 0)
		h.run(d, lane)
		return
	}
	d.busy[lane] = true
	took = time.Duration(float64(took) * h.slow)
	if lane == 0 && a.Kind == protocol.LoadWeights {
		h.loads(d, a, took)
	}
	if lane == 1 {
		took = h.executes(d, a, took)
	} else {
		took += max(0, d.ready.Sub(h.world.now)) // the next process loads it
	}
	d.at[lane], d.since[lane] = &a, h.world.now
	process := d.ended
	h.whenAwake(took, func() {
		if d.ended != process {
			return // answered when that process ended
		}
		d.busy[lane], d.at[lane] = false, nil
		if lane == 1 {
			h.unhang(d)
		}
		code := protocol.OK
		w := h.world
		if !w.healthy && !w.calm && w.worker.IntN(40) == 0 && a.Kind != protocol.EvictWeights {
			code = []protocol.Code{protocol.BackendError, protocol.NoMemory, protocol.InvalidInput}[w.worker.IntN(3)]
		}
		if a.Kind == protocol.Infer && w.poisoned(a, fails) {
			code = protocol.BackendError
		}
		switch a.Kind {
		case protocol.LoadWeights:
			d.loaded[a.Model] = true
			if code != protocol.OK {
				delete(d.loaded, a.Model)
			}
		case protocol.Infer:
			d.in[a.Model]--
		}
		if code != protocol.OK && a.Kind == protocol.Infer && len(a.Requests) > 1 && w.poisoned(a, fails) {
			w.faults.failed++
		}
		h.answer(a, code, took)
		h.run(d, lane)
	})
}

// begin starts an action if it may run now, and says how long it takes.
func (h *host) begin(d *device, a protocol.Action) (protocol.Code, time.Duration) {
	w := h.world
	loaded, there := d.loaded[a.Model]
	jitter := time.Duration(w.worker.IntN(300)) * time.Microsecond
	switch {
	case w.now > a.Latest:
		return protocol.TooLate, 0
	case a.Kind == protocol.LoadWeights && there:
		return protocol.AlreadyLoaded, 0
	case a.Kind == protocol.LoadWeights:
		d.loaded[a.Model] = false
		if used := h.pages(d); used > h.total {
			w.fail("G6: %s gpu %d would hold %d pages of %d with %s", h.id, a.GPU, used, h.total, a.Model)
		}
	case !there || !loaded:
		if a.Kind == protocol.Infer && !h.doubtful {
			w.fail("%s gpu %d was to run %s, which it does not hold", h.id, a.GPU, a.Model)
		}
		return protocol.WeightsMissing, 0
	case a.Kind == protocol.EvictWeights && d.in[a.Model] > 0:
		w.faults.inUse++
		return protocol.WeightsInUse, 0
	case a.Kind == protocol.EvictWeights:
		w.faults.evictions++
		delete(d.loaded, a.Model)
		return protocol.OK, jitter / 10
	default:
		d.in[a.Model]++
	}
	return protocol.OK, max(time.Microsecond, a.Expected-150*time.Microsecond+jitter)
}

func (h *host) answer(a protocol.Action, code protocol.Code, took time.Duration) {
	r := protocol.Result{Action: a.ID, Issuer: a.Issuer, Epoch: a.Epoch, Incarnation: h.incarnation, Worker: h.id,
		Kind: a.Kind, Code: code, GPU: a.GPU, Model: a.Model}
	if took > 0 {
		r.Begin, r.End = h.world.now.Add(-took), h.world.now
	}
	if code != protocol.OK {
		r.Message = secret(a.ID)
	}
	h.answered[a.ID] = &r
	h.send(r)
}

func (h *host) send(r protocol.Result) {
	h.world.carry(h, func() { h.world.step(&Result{r}) })
}
