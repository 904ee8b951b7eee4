package explain

import (
	"slices"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Bounds of a Live. Of what it has forgotten it knows nothing.
const (
	// keptServed and keptMissed are how many of the latest requests that ended
	// well, or not, can be explained.
	keptServed = 1 << 14
	keptMissed = 1 << 13
	// keptDone is what is kept of each lane's past.
	keptDone = 64
	// toldASecond is how many misses are told in full, in a burst toldAtOnce: it
	// has to be done while the lanes' past is there, and takes some 10 us. Of more
	// is kept how they arrived and ended.
	toldASecond = 200
	toldAtOnce  = 1000
	// lookEvery is how often the lanes of a model with many copies are looked at.
	lookEvery = time.Millisecond
)

// Live follows a core that works, in bounded memory, so that its latest requests
// can be explained at any time. Who owns the core owns the Live.
type Live struct {
	*follower
	served, missed ring
	done, failed   int
	doorless       int
	spare          float64 // how many misses may be told in full now
	refilled       protocol.Time
	// Closed, if set, hears of each action that a worker ended.
	Closed func(*Closed)
}

// Closed is an action that ended, as it was planned and as it was.
type Closed struct {
	Worker      string
	GPU         int
	Kind        protocol.Kind
	Model       string
	Batch, Size int // Size: how many requests it held
	OK          bool
	// Expected and Took are of the execution or transfer alone; Late is how much
	// later than planned it ended. The latter two are 0 unless OK.
	Expected, Took, Late time.Duration
}

// kept is a request that ended.
type kept struct {
	of      *request
	at      protocol.Time
	outcome string
	cause   Cause
	told    *Explanation // nil where it was not told in full
}

// ring holds the latest.
type ring struct {
	list []kept
	next int // where the next one goes, once the ring is full
	size int
}

// Report is what a Live told somebody, in JSON.
type Report struct {
	Epoch uint64 `json:"epoch"`
	// Since is how far the misses go back that are kept; the summary's causes are of
	// those, its counts of all since the scheduler began.
	Since    *time.Time `json:"since,omitempty"`
	Summary  *Summary   `json:"summary,omitempty"`
	Requests []Told     `json:"requests,omitempty"`
}

// Told is a request, with when it reached the scheduler; its chain counts from there.
type Told struct {
	*Explanation
	Arrived time.Time `json:"arrived"`
}

// NewLive makes a Live of a core that has had no event yet.
func NewLive(policy string, config sched.Config) *Live {
	l := &Live{served: newRing(keptServed), missed: newRing(keptMissed), spare: toldAtOnce}
	l.follower = &follower{end: l.ended, keep: keptDone}
	l.follower.closed = l.closed
	l.follower.begin(policy, config)
	l.glance = lookEvery
	return l
}

// newRing has its room at once: to grow would copy all of it, time and again.
func newRing(size int) ring { return ring{list: make([]kept, 0, size), size: size} }

// put takes one in and returns the request that it forgets for it, nil for none.
func (r *ring) put(k kept) (gone *request) {
	if len(r.list) < r.size {
		r.list = append(r.list, k)
		return nil
	}
	gone = r.list[r.next].of
	r.list[r.next] = k
	r.next = (r.next + 1) % r.size
	return gone
}

// latest walks from the latest backwards while look wants more.
func (r *ring) latest(look func(*kept) (more bool)) {
	for i := range r.list {
		at := (r.next - 1 - i + 2*len(r.list)) % len(r.list)
		if !look(&r.list[at]) {
			return
		}
	}
}

func (l *Live) ended(r *request, outcome string, cause Cause) {
	k := kept{of: r, at: l.now, outcome: outcome, cause: cause}
	switch {
	case outcome == doorLost:
		l.doorless++
	case cause == None:
		l.done++
		l.reuse(l.served.put(k))
		return
	default:
		l.failed++
	}
	if l.mayTell() {
		k.told = l.tell(r, outcome, cause)
	}
	l.reuse(l.missed.put(k))
}

// reuse takes a request for a later one that nothing leads to any more.
func (l *Live) reuse(r *request) {
	if r == nil || slices.ContainsFunc(r.tries, func(a *action) bool { return a.members != nil }) {
		return
	}
	l.forgotten = append(l.forgotten, r)
}

// mayTell takes from what may be told in full.
func (l *Live) mayTell() bool {
	l.spare = min(toldAtOnce, l.spare+l.now.Sub(l.refilled).Seconds()*toldASecond)
	l.refilled = l.now
	if l.spare < 1 {
		return false
	}
	l.spare--
	return true
}

// tell explains a request, in times after its arrival at the scheduler.
func (l *Live) tell(r *request, outcome string, cause Cause) *Explanation {
	l.start = r.arrived
	return l.explain(r, outcome, cause)
}

func (l *Live) explainKept(k *kept) *Explanation {
	if k.told != nil {
		return k.told
	}
	if k.cause == None {
		return l.tell(k.of, k.outcome, k.cause)
	}
	c := &chain{start: k.of.arrived}
	l.tellArrival(c, k.of)
	for _, a := range k.of.tries {
		l.tellTry(c, k.of, a)
	}
	if e := k.of.refusal; e != nil {
		c.add(k.at, "refused %s: %s", e.Code, e.Message)
	}
	c.add(k.at, "what the lanes did meanwhile was not kept: too many failed then")
	return &Explanation{ID: k.of.ID.String(), Core: l.core, Model: k.of.Model, Outcome: k.outcome, Cause: k.cause, Chain: c.links}
}

// open is an outcome.
const open = "open"

// Explain explains a request that is open or was kept, and says when it reached
// the scheduler; nil for any other.
func (l *Live) Explain(id protocol.RequestID) (e *Explanation, arrived protocol.Time) {
	if r := l.requests[id]; r != nil {
		return l.tell(r, open, None), r.arrived
	}
	for _, of := range []*ring{&l.missed, &l.served} {
		of.latest(func(k *kept) bool {
			if k.of.ID == id {
				e, arrived = l.explainKept(k), k.of.arrived
			}
			return e == nil
		})
		if e != nil {
			return e, arrived
		}
	}
	return nil, 0
}

// Summary counts since the core began, and groups the misses that are kept by
// cause, each with its latest as the example. They go back to since.
func (l *Live) Summary() (s *Summary, since protocol.Time) {
	s = &Summary{Requests: l.arrived, Done: l.done, Failed: l.failed, Open: len(l.requests), Forgotten: l.doorless}
	groups := map[Cause]*Group{}
	examples := map[Cause]*kept{}
	since = l.now
	l.missed.latest(func(k *kept) bool {
		since = min(since, k.at)
		if k.cause == None { // its front door was lost
			return true
		}
		g := groups[k.cause]
		if g == nil {
			g = &Group{Cause: k.cause}
			groups[k.cause] = g
		}
		if best := examples[k.cause]; best == nil || best.told == nil && k.told != nil {
			examples[k.cause] = k
		}
		g.Count++
		return true
	})
	for cause, k := range examples {
		groups[cause].Outcome, groups[cause].Example = k.outcome, l.explainKept(k)
	}
	s.Causes = inOrderOfCount(groups)
	return s, since
}

// Lane is how a GPU stands: how long its lanes have work for.
type Lane struct {
	Worker     string
	GPU        int
	Exec, Load time.Duration
}

// Lanes tells of at most so many GPUs.
func (l *Live) Lanes(most int) []Lane {
	list := make([]Lane, 0, min(most, len(l.gpus)))
	for _, g := range l.gpus[:min(most, len(l.gpus))] {
		list = append(list, Lane{g.worker, g.id, g.execs.ahead(l.now), g.transfers.ahead(l.now)})
	}
	return list
}

func (l *lane) ahead(now protocol.Time) time.Duration {
	if len(l.open) == 0 {
		return 0
	}
	return l.free(now).Sub(now)
}

// Copies tells of each model whose weights are on some GPU: on how many, and how much
// it was asked for lately, which halves with each call. The order is any.
func (l *Live) Copies(tell func(name string, gpus, asked int)) {
	for name, of := range l.models {
		asked := of.asked
		of.asked /= 2
		if len(of.holders) > 0 {
			tell(name, len(of.holders), asked)
		}
	}
}

func (l *Live) closed(a *action) {
	if l.Closed == nil {
		return
	}
	c := Closed{
		Worker: a.gpu.worker, GPU: a.gpu.id, Kind: a.kind, Model: a.model.name, Batch: a.batch, Size: a.size,
		OK: a.code == protocol.OK, Expected: a.expected,
	}
	if c.OK {
		c.Took, c.Late = a.took, a.over
	}
	l.Closed(&c)
}
