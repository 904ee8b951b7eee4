package sched

import (
	"math/bits"
	"time"

	"clockwork/pkg/core/estimate"
	"clockwork/pkg/protocol"
)

// The outputs of a request go from the worker to the front door, and its answer from there to
// the client. A front door claims an answer just before it sends it, on the same connection.
// So the time from the end of an execution until the claim is here is about the time until
// the client has the answer: both end with one message from the front door. A client of HTTP
// has no claims; for its front door only a share of the budget is kept.

// doorWays are the times of one front door's answers, by the size of their outputs.
type doorWays struct{ bySize [waySizes]wayTime }

// wayTime is how long answers of similar size take.
type wayTime struct {
	// outstanding are executions whose claims are awaited. More are not looked at: each
	// takes its place in turn.
	outstanding [waySamples]executed
	// took is the time that nine of ten took lately, nil before the first.
	took      *estimate.Estimator
	updatedAt protocol.Time
}

// executed is the end of a request's execution; end is 0 in a free place.
type executed struct {
	seq uint64
	end protocol.Time
}

const (
	// waySizes are the classes of sizes: below 16 KiB, and each four times of the one before.
	waySizes = 6
	// waySamples is the number of answers of one class that are followed at a time.
	waySamples = 8
	// wayMemory is how many answers count, wayLeast how many are needed.
	wayMemory, wayLeast = 64, 8
	// wayPatience is how long a claim is awaited: those of HTTP never come.
	wayPatience = time.Second
)

// wayOf returns the class of a request's outputs.
func wayOf(r *request) int {
	size := uint64(r.model.outputBytes*int64(r.Batch)) >> 14
	return min((bits.Len64(size)+1)/2, waySizes-1)
}

// wayBackOf returns how long a request's answer takes to its client, 0 if that is not known.
func (c *engine) wayBackOf(r *request) time.Duration {
	of := c.waysBack[r.ID.Door]
	if of == nil {
		return 0
	}
	w := &of.bySize[wayOf(r)]
	if w.took == nil || w.took.Samples() < wayLeast {
		return 0
	}
	return w.took.Value()
}

// executed follows the answer of a request whose execution ended, and whose front door may
// have claimed it already.
func (c *engine) executed(r *request, end protocol.Time) {
	if end == 0 || r.orphan {
		return
	}
	of := c.waysBack[r.ID.Door]
	if of == nil {
		of = &doorWays{}
		c.waysBack[r.ID.Door] = of
	}
	w := &of.bySize[wayOf(r)]
	if r.answeredAt != 0 {
		w.add(c.now, r.answeredAt.Sub(end))
		return
	}
	for i := range w.outstanding {
		if o := &w.outstanding[i]; o.end == 0 || c.now.Sub(o.end) > wayPatience {
			*o = executed{r.ID.Seq, end}
			return
		}
	}
}

// answered takes the claims of a front door.
func (c *engine) answered(e *Answered) {
	of := c.waysBack[e.Door]
	for _, seq := range e.Seqs {
		if of != nil && of.answered(c.now, seq) {
			continue
		}
		if r := c.known[protocol.RequestID{Door: e.Door, Seq: seq}]; r != nil {
			r.answeredAt = c.now // its result is still on its way
		}
	}
}

// answered ends the wait for a claim, if there is one.
func (of *doorWays) answered(now protocol.Time, seq uint64) bool {
	for size := range of.bySize {
		w := &of.bySize[size]
		for i := range w.outstanding {
			if o := &w.outstanding[i]; o.end != 0 && o.seq == seq {
				w.add(now, now.Sub(o.end))
				*o = executed{}
				return true
			}
		}
	}
	return false
}

// add adds a sample; one below 0, by an error of the clocks, counts as 0.
func (w *wayTime) add(now protocol.Time, took time.Duration) {
	if w.took == nil {
		w.took = estimate.New(estimate.Config{Window: wayMemory, Percentile: 90}, 0)
	}
	w.took.Add(max(0, took))
	w.updatedAt = now
}

// forgiveWayBack removes the largest time of those that may have caused a refusal, if they are
// old: a refused request brings no sample that could correct them.
func (c *engine) forgiveWayBack(r *request) {
	of := c.waysBack[r.ID.Door]
	if of == nil {
		return
	}
	if w := &of.bySize[wayOf(r)]; w.took != nil && c.now.Sub(w.updatedAt) >= estimateTrust {
		w.took.Forget()
		w.updatedAt = c.now
	}
}
