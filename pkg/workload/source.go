package workload

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// Arrival is one request.
type Arrival struct {
	// At is when it is sent, counted from the workload's start.
	At protocol.Time
	// Model is the index of its instance, Stream and Client whose it is.
	Model, Stream, Client int
	// SLO is 0 where the request names none.
	SLO time.Duration
	// Batch is how many items it has.
	Batch int
}

// Source yields the arrivals of one run of a workload, in order of time. It
// allocates nothing for an arrival. One goroutine owns it.
type Source struct {
	streams []stream
	queue   queue
	now     protocol.Time
}

// Source begins a run. exec gives the execution time at batch 1 of the model at
// a path; it is asked only where an SLO is a factor of it.
func (w Workload) Source(exec func(path string) time.Duration) (*Source, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	instances := w.Instances()
	s := &Source{streams: make([]stream, len(w.Streams))}
	for i, of := range w.Streams {
		slo, err := of.deadlines(instances[of.Model].Path, exec)
		if err != nil {
			return nil, fmt.Errorf("workload %s: stream %d: %w", w.Name, i, err)
		}
		s.streams[i] = w.run(of, slo)
		s.begin(uint32(i))
	}
	return s, nil
}

// Peek returns when the next arrival is; Never where there is none, or none
// before a client of a closed loop gets its answer.
func (s *Source) Peek() protocol.Time {
	if len(s.queue) == 0 {
		return protocol.Never
	}
	return s.queue[0].at
}

// Next takes the next arrival; false where Peek would say Never.
func (s *Source) Next() (Arrival, bool) {
	if len(s.queue) == 0 {
		return Arrival{}, false
	}
	first := s.queue[0]
	s.now = first.at
	of := &s.streams[first.stream]
	a := of.arrival(first)
	if of.closed != nil {
		of.closed.waiting[first.client] = true
		s.queue.pop()
	} else if at := of.following(); at != protocol.Never {
		s.queue.replace(entry{at: at, stream: first.stream})
	} else {
		s.queue.pop()
	}
	return a, true
}

// Done tells that a was answered at this time, well or badly; its client of a
// closed loop may send again. It must be told once of each arrival of a closed
// loop, and does nothing for others. An answer from before the latest Next
// counts as of then, for arrivals stay in order.
func (s *Source) Done(a Arrival, at protocol.Time) {
	of := &s.streams[a.Stream]
	if of.closed == nil {
		return
	}
	at = of.closed.again(uint32(a.Client), max(at, s.now))
	if at = of.within(at); at != protocol.Never {
		s.queue.push(entry{at: at, stream: uint32(a.Stream), client: uint32(a.Client)})
	}
}

func (s *Source) begin(i uint32) {
	of := &s.streams[i]
	if of.closed != nil {
		s.beginClients(i)
	} else if at := of.following(); at != protocol.Never {
		s.queue.push(entry{at: at, stream: i})
	}
}

// beginClients draws each client's first moment, from a copy of the dice.
func (s *Source) beginClients(i uint32) {
	of := &s.streams[i]
	ramp := of.dice
	for client := range of.closed.waiting {
		into := time.Duration(ramp.float() * float64(of.closed.of.Ramp))
		if at := of.within(of.start.Add(into)); at != protocol.Never && of.closed.take() {
			s.queue.push(entry{at: at, stream: i, client: uint32(client)})
		}
	}
}
