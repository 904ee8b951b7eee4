package workload

import (
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// Arrival is one request.
type Arrival struct {
	// At is when the request is due, relative to the workload's start.
	At protocol.Time
	// Model is the index of its instance, Stream that of its stream, Client that of
	// its client.
	Model, Stream, Client int
	// SLO is 0 if the request has none.
	SLO time.Duration
	// Batch is its number of items.
	Batch int
}

// Source yields the arrivals of one run of a workload, in order of time, then of
// stream, then of client. It allocates nothing per arrival. One goroutine owns
// it.
type Source struct {
	streams []stream
	// coming has a leaf per open loop and per client of a closed loop, in order;
	// owner maps a leaf to its stream.
	coming tournament
	owner  []uint32
	now    protocol.Time
}

// Source starts a run. exec returns the execution time at batch 1 of the model
// at a path; it is called only for SLOs that are factors.
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
		s.streams[i].leaf = len(s.owner)
		for range of.leaves() {
			s.owner = append(s.owner, uint32(i))
		}
	}
	s.coming = newTournament(len(s.owner))
	for i := range s.streams {
		s.begin(&s.streams[i])
	}
	return s, nil
}

// Peek returns the time of the next arrival; Never if there is none, or none
// before a client of a closed loop gets its answer.
func (s *Source) Peek() protocol.Time { return s.coming.first().at }

// Next returns the next arrival; false if Peek returns Never.
func (s *Source) Next() (Arrival, bool) {
	first := s.coming.first()
	if first.at == protocol.Never {
		return Arrival{}, false
	}
	s.now = first.at
	i := s.owner[first.leaf]
	of := &s.streams[i]
	client := first.leaf - of.leaf
	if of.closed == nil {
		s.coming.set(first.leaf, of.following())
	} else {
		of.closed.waiting[client] = true
		s.coming.set(first.leaf, protocol.Never)
	}
	return of.arrival(first.at, int(i), client), true
}

// Done reports the answer to a at this time, successful or not; its client in a
// closed loop may send again. Done must be called exactly once per arrival of a
// closed loop, and does nothing for others. An answer from before the last Next
// counts as arriving then, because arrivals stay in order.
func (s *Source) Done(a Arrival, at protocol.Time) {
	of := &s.streams[a.Stream]
	if of.closed == nil {
		return
	}
	at = of.closed.again(a.Client, max(at, s.now))
	s.coming.set(of.leaf+a.Client, of.within(at))
}

func (s *Source) begin(of *stream) {
	if of.closed == nil {
		s.coming.set(of.leaf, of.following())
		return
	}
	ramp := of.rng // a copy: draws the clients' start times
	for client := range of.closed.waiting {
		into := time.Duration(ramp.float() * float64(of.closed.of.Ramp))
		if at := of.within(of.start.Add(into)); at != protocol.Never && of.closed.take() {
			s.coming.set(of.leaf+client, at)
		}
	}
}
