package replay

import (
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/sched"
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
	// Refused counts refusals by code, Open those without an end.
	Refused map[protocol.Code]int `json:"refused"`
	Open    int                   `json:"open"`
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
	open    map[protocol.RequestID]protocol.Time // deadlines
	actions map[protocol.ActionID][]protocol.RequestID
}

func newTally() *tally {
	t := &tally{Outcome: Outcome{Refused: map[protocol.Code]int{}, Failures: map[protocol.Code]int{}}}
	t.begin()
	return t
}

// begin says that a new core was made; what the last one had open stays so.
func (t *tally) begin() {
	t.open = map[protocol.RequestID]protocol.Time{}
	t.actions = map[protocol.ActionID][]protocol.RequestID{}
}

func (t *tally) step(now protocol.Time, e sched.Event, out *sched.Output) {
	switch e := e.(type) {
	case *sched.Activate:
		t.issuer = e.Issuer
	case *sched.Submit:
		if _, known := t.open[e.ID]; !known {
			t.Submitted++
			t.Open++
			t.open[e.ID] = now.Add(e.Budget)
		}
	case *sched.Result:
		t.result(&e.Result)
	case *sched.DoorLost:
		t.doorLost(e.Door)
	}
	for i := range out.Actions {
		t.action(&out.Actions[i].Action)
	}
	for i := range out.Dispatches {
		if d := &out.Dispatches[i]; d.Kind == protocol.Answer {
			t.Answered += t.end(d.ID)
		}
	}
	for i := range out.Refusals {
		d := &out.Refusals[i]
		t.Refused[d.Refusal.Code] += t.end(d.ID)
	}
}

// end returns 1 for a request that was open.
func (t *tally) end(id protocol.RequestID) int {
	if _, open := t.open[id]; !open {
		return 0
	}
	delete(t.open, id)
	t.Open--
	return 1
}

func (t *tally) result(r *protocol.Result) {
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
	for _, id := range members {
		late := r.End > t.open[id]
		switch {
		case t.end(id) == 0:
		case late:
			t.Late++
		default:
			t.Done++
		}
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
			t.Forgotten += t.end(id)
		}
	}
}
