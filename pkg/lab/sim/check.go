package sim

import (
	"errors"
	"fmt"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
)

// This file checks the guarantees of the stack that a run can observe. Cheap
// checks always run, the others with Config.Thorough. The first broken guarantee
// ends the run.

// ErrBroken is the error of a run in which a guarantee was broken.
var ErrBroken = errors.New("a guarantee is broken")

// answerSlack is how long after its deadline a request may be answered (G1).
const answerSlack = 50 * time.Millisecond

// restWithin is how long a run with faults may take, after the last answer,
// until no work is left.
const restWithin = time.Minute

// broken records a broken guarantee as the run's error, unless there is one
// already.
func (s *world) broken(guarantee, format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%w: seed %d at %v, event %d (%v): %s: %s", ErrBroken, s.config.Seed, time.Duration(s.now), s.report.Events,
			s.event, guarantee, fmt.Sprintf(format, args...))
	}
}

// checkAnswer checks a request's one answer (G1, G2).
func (s *world) checkAnswer(r *request, code protocol.Code) {
	if !r.abandoned && s.now > r.deadline.Add(answerSlack) {
		s.broken("G1", "a request is answered %v after its deadline", s.now.Sub(r.deadline))
	}
	if code == protocol.OK && s.now.Sub(r.taken) > r.arrival.SLO {
		s.broken("G2", "OK after %v, the SLO is %v", s.now.Sub(r.taken), r.arrival.SLO)
	}
}

// checkBegin checks an order that starts (G2, G6). A worker with a clock of its
// own keeps the window by that clock, as precisely as it knows the scheduler's.
func (s *world) checkBegin(h *host, o *work.Order, on *virtual.GPU) {
	if begin := h.Now(); begin < o.Earliest || begin > o.Latest {
		s.broken("G2", "%s of %s begins at %v on %v, its window is %v to %v", o.Action.Kind, o.Action.Model, begin, on, o.Earliest, o.Latest)
	}
	if h.clock != nil && o.Action.Epoch != 0 {
		wrong := h.clockWrong()
		s.report.Faults.ClockError = max(s.report.Faults.ClockError, wrong)
		if most := h.clock.maxClockError(s.config.Network); s.now > o.Action.Latest.Add(most) {
			s.broken("G2", "%s of %s begins %v after its latest; its worker's clock is %v off", o.Action.Kind, o.Action.Model, s.now.Sub(o.Action.Latest), wrong)
		}
	}
	if o.Action.Kind != protocol.Infer && o.Action.Epoch != 0 {
		if o.Action.Epoch < h.obeyed {
			s.broken("G7", "%s of epoch %d begins on %v, which has obeyed epoch %d", o.Action.Kind, o.Action.Epoch, on, h.obeyed)
		}
		h.obeyed = o.Action.Epoch
	}
	if used, total := h.Core.Pages(on.ID); used > total {
		s.broken("G6", "%v holds %d pages of %d", on, used, total)
	}
	if h.books != nil {
		h.books[on.ID].begin(s, o, on)
	}
}

// checkDone checks an order that ended or was refused (G6): the scheduler's view
// of a GPU must not promise pages that are not free.
func (s *world) checkDone(h *host, r *protocol.Result, o *work.Order) {
	if r.Code == protocol.NoMemory {
		s.broken("G6", "GPU %d of %s has no room for %s: %s", o.GPU, h.ID(), o.Action.Model, r.Message)
	}
	if h.books != nil && r.Code == protocol.ExecutorLost && r.Kind == protocol.LoadWeights {
		h.books[o.GPU].drop(o.Action.Model)
	}
	if h.books == nil || r.Code != protocol.OK {
		return
	}
	switch {
	case r.Kind == protocol.ClearCache && r.GPU >= 0:
		h.openBook(r.GPU)
	case r.Kind.OnGPU():
		h.books[o.GPU].end(s, o, h.GPUs[o.GPU])
	}
}

// checkAccounts checks the sums of request counts (G13), of the simulated
// clients and of the cores.
func (s *world) checkAccounts() {
	answered := 0
	for _, n := range s.report.Codes {
		answered += n
	}
	open := s.open
	if gone := s.report.Faults.Unanswered; s.report.Offered != answered+open+gone {
		s.broken("G13", "%d offered, %d answered, %d without an answer, %d in flight", s.report.Offered, answered, gone, open)
	}
	for _, d := range s.doors {
		if n := d.core.Snapshot(); n.Received != n.Answered+n.Left+int64(n.InFlight)+int64(n.Waiting) {
			s.broken("G13", "the accounts of front door %d do not close: %+v", d.id, n)
		}
	}
	s.schedulers(func(x *scheduler) {
		c := x.core.Stats()
		if c.Submitted != c.Succeeded+c.Refused+c.Answered+c.Withdrawn+c.Forgotten+c.Duplicates+c.Queued+c.InFlight {
			s.broken("G13", "the core's accounts do not close: %+v", c)
		}
	})
}

// checkRest checks the end of a run: every request is answered and no work is
// left.
func (s *world) checkRest() {
	s.checkAccounts()
	if s.open > 0 {
		s.broken("G1", "%d requests were never answered", s.open)
	}
	if c := s.core.Stats(); s.faults != nil && c.Queued+c.InFlight > 0 {
		s.broken("G13", "the core keeps what is over: %+v", c)
	}
	for _, h := range s.hosts {
		for i := range h.books {
			h.books[i].compare(s, h.GPUs[i])
		}
	}
}

// checkStep checks the core's decisions.
func (s *world) checkStep(term *sched.Term, out sched.Output) {
	if out.Wake <= s.now {
		s.broken("G11", "the core wants to be woken at %v", out.Wake)
	}
	for _, a := range out.Actions {
		switch {
		case a.Action.Latest < s.now || a.Action.Latest < a.Action.Earliest:
			s.broken("G2", "%s of %s may begin from %v to %v", a.Action.Kind, a.Action.Model, a.Action.Earliest, a.Action.Latest)
		case !term.Has(a.Worker, a.Action.Incarnation):
			s.broken("G7", "%s of %s is for life %d of %s, which did not join", a.Action.Kind, a.Action.Model, a.Action.Incarnation, a.Worker)
		}
	}
	said := map[protocol.RequestID]bool{}
	for _, d := range out.Refusals {
		if said[d.ID] {
			s.broken("G1", "request %v is refused twice at once", d.ID)
		}
		said[d.ID] = true
	}
	for _, d := range out.Dispatches {
		if said[d.ID] {
			s.broken("G1", "request %v is refused and sent to %s at once", d.ID, d.Worker)
		}
	}
	s.checkAccounts()
}

// pageAudit counts the pages of one GPU naively, independently of the worker's
// ledger.
type pageAudit struct {
	held  map[string]int // pages of models that are loading, loaded or evicting
	there map[string]bool
	users map[string]int
}

// openBooks starts the page audits with the current contents of the GPUs.
func (h *host) openBooks() {
	h.books = make([]pageAudit, len(h.GPUs))
	for i := range h.GPUs {
		h.openBook(i)
	}
}

// openBook restarts the page audit of a GPU on which no action is running.
func (h *host) openBook(gpu int) {
	b := pageAudit{map[string]int{}, map[string]bool{}, map[string]int{}}
	for _, name := range h.Core.Resident(gpu) {
		b.held[name], b.there[name] = h.world.byName[name].Pages, true
	}
	h.books[gpu] = b
}

func (b *pageAudit) begin(s *world, o *work.Order, on *virtual.GPU) {
	name := o.Action.Model
	switch o.Action.Kind {
	case protocol.Infer:
		if !b.there[name] {
			s.broken("G6", "%s runs on %v without its weights", name, on)
		}
		b.users[name]++
	case protocol.LoadWeights:
		if b.held[name] > 0 {
			s.broken("G6", "%s is loaded onto %v twice", name, on)
		}
		b.held[name] = o.Spec.Pages
	case protocol.EvictWeights:
		if !b.there[name] || b.users[name] > 0 {
			s.broken("G6", "%s is evicted from %v with %d users", name, on, b.users[name])
		}
		delete(b.there, name)
	}
	b.compare(s, on)
}

func (b *pageAudit) end(s *world, o *work.Order, on *virtual.GPU) {
	name := o.Action.Model
	switch o.Action.Kind {
	case protocol.Infer:
		b.users[name]--
	case protocol.LoadWeights:
		b.there[name] = true
	case protocol.EvictWeights:
		delete(b.held, name)
	}
	b.compare(s, on)
}

// compare checks the sum of the audited pages against the worker's ledger.
func (b *pageAudit) compare(s *world, g *virtual.GPU) {
	sum := 0
	for _, pages := range b.held {
		sum += pages
	}
	if _, next := g.Worker.Core.Running(g.ID); next != nil && next.Action.Kind == protocol.LoadWeights && b.held[next.Action.Model] == 0 {
		sum += next.Spec.Pages // it takes the place of an order that ended just now
	}
	if used, total := g.Worker.Core.Pages(g.ID); sum > total || sum != used {
		s.broken("G6", "%v counts %d of %d pages, there are %d", g, used, total, sum)
	}
}
