package replay

import (
	"slices"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Outcome is what became of the requests, and by what work. Times are the
// GPUs': an answer still needs its way to the client.
type Outcome struct {
	Submitted int `json:"submitted"`
	// Done ended on a GPU before their deadline, Late after it; Answered were
	// by the scheduler itself (policy echo). Forgotten lost their front door.
	Done      int `json:"done"`
	Late      int `json:"late"`
	Answered  int `json:"answered"`
	Forgotten int `json:"forgotten"`
	// Refused counts refusals by code, Open those without an end. Apart are left
	// out of the counts above, but not of Open: see Settle.
	Refused map[protocol.Code]int `json:"refused"`
	Open    int                   `json:"open"`
	Apart   int                   `json:"apart,omitempty"`
	// Infers, Loads and Evicts are the actions sent, Items the items in the
	// Infers, Failures their results other than OK.
	Infers   int                   `json:"infers"`
	Loads    int                   `json:"loads"`
	Evicts   int                   `json:"evicts"`
	Items    int                   `json:"items"`
	Failures map[protocol.Code]int `json:"failures"`
	// Busy is what the GPUs executed, Moved what they transferred, in all.
	Busy  time.Duration `json:"busy_ns"`
	Moved time.Duration `json:"moved_ns"`
	// fates are those of all submissions, in order; codes those of refusals.
	fates []fate
	codes []protocol.Code
}

// fate is what became of a submission; from refused on, it is the place of a
// refusal's code.
type fate uint8

const (
	again fate = iota // its id was open already: not a request of its own
	open
	done
	late
	answered
	forgotten
	refused
)

// Settle makes outcomes of the same submissions comparable: a request that is
// open at the end of any is left out of the counts of requests of all, for
// nobody knows how it would have ended. It returns how many these are. The
// counts of actions still have the work that was done for them.
func Settle(all ...*Outcome) int {
	apart, n := 0, len(all[0].fates)
	for _, o := range all {
		n = min(n, len(o.fates)) // a recording may claim a submission at the end of time
	}
	for i := range n {
		if !slices.ContainsFunc(all, func(o *Outcome) bool { return o.fates[i] == open }) {
			continue
		}
		apart++
		for _, o := range all {
			if o.fates[i] != again {
				o.Submitted--
				o.count(o.fates[i], -1)
			}
		}
	}
	for _, o := range all {
		o.Apart = apart
	}
	return apart
}

// count counts n of a fate other than open and again.
func (o *Outcome) count(f fate, n int) {
	switch f {
	case again, open:
	case done:
		o.Done += n
	case late:
		o.Late += n
	case answered:
		o.Answered += n
	case forgotten:
		o.Forgotten += n
	default:
		o.Refused[o.codes[f-refused]] += n
	}
}

// refusal is the fate of a request that is refused with this code.
func (o *Outcome) refusal(code protocol.Code) fate {
	at := slices.Index(o.codes, code)
	if at < 0 {
		at = len(o.codes)
		o.codes = append(o.codes, code)
	}
	return refused + fate(at)
}

// AllRefused is the number of refusals of all codes.
func (o *Outcome) AllRefused() int {
	n := 0
	for _, count := range o.Refused {
		n += count
	}
	return n
}

// MeanBatch is the mean number of items in an Infer.
func (o *Outcome) MeanBatch() float64 {
	if o.Infers == 0 {
		return 0
	}
	return float64(o.Items) / float64(o.Infers)
}

// tally counts an Outcome from the steps of cores.
type tally struct {
	Outcome
	issuer  uint64
	open    map[protocol.RequestID]int // the number of its submission
	actions map[protocol.ActionID][]protocol.RequestID
}

func newTally() *tally {
	t := &tally{Outcome: Outcome{Refused: map[protocol.Code]int{}, Failures: map[protocol.Code]int{}}}
	t.begin()
	return t
}

// begin says that a new core was made; what the last one had open stays so.
func (t *tally) begin() {
	t.open = map[protocol.RequestID]int{}
	t.actions = map[protocol.ActionID][]protocol.RequestID{}
}

func (t *tally) step(e sched.Event, out *sched.Output) {
	switch e := e.(type) {
	case *sched.Activate:
		t.issuer = e.Issuer
	case *sched.Submit:
		t.submit(e.ID)
	case *sched.Result:
		t.result(&e.Result, out.Late)
	case *sched.DoorLost:
		t.doorLost(e.Door)
	}
	for _, u := range out.Unanswered {
		delete(t.actions, u.Action)
	}
	for i := range out.Actions {
		t.action(&out.Actions[i].Action)
	}
	for i := range out.Dispatches {
		if d := &out.Dispatches[i]; d.Kind == protocol.Answer {
			t.end(d.ID, answered)
		}
	}
	for i := range out.Refusals {
		d := &out.Refusals[i]
		t.end(d.ID, t.refusal(d.Refusal.Code))
	}
}

func (t *tally) submit(id protocol.RequestID) {
	number := len(t.fates)
	if _, known := t.open[id]; known {
		t.fates = append(t.fates, again)
		return
	}
	t.fates = append(t.fates, open)
	t.Submitted++
	t.Open++
	t.open[id] = number
}

// end ends a request if it is open.
func (t *tally) end(id protocol.RequestID, f fate) {
	number, isOpen := t.open[id]
	if !isOpen {
		return
	}
	delete(t.open, id)
	t.Open--
	t.fates[number] = f
	t.count(f, 1)
}

func (t *tally) result(r *protocol.Result, lateOnes []sched.Late) {
	members, known := t.actions[r.Action]
	if !known || r.Issuer != t.issuer {
		return
	}
	delete(t.actions, r.Action)
	if r.Code != protocol.OK {
		t.Failures[r.Code]++
		return
	}
	if took := r.End.Sub(r.Begin); r.Kind == protocol.Infer {
		t.Busy += took
	} else {
		t.Moved += took
	}
	for _, l := range lateOnes {
		t.end(l.ID, late)
	}
	for _, id := range members {
		t.end(id, done)
	}
}

func (t *tally) action(a *protocol.Action) {
	var members []protocol.RequestID
	switch a.Kind {
	case protocol.Infer:
		t.Infers++
		for _, r := range a.Requests {
			members = append(members, r.ID)
			t.Items += r.Batch
		}
	case protocol.LoadWeights:
		t.Loads++
	case protocol.EvictWeights:
		t.Evicts++
	}
	t.actions[a.ID] = members
}

func (t *tally) doorLost(door uint64) {
	for id := range t.open { // no decision follows from the order
		if id.Door == door {
			t.end(id, forgotten)
		}
	}
}
