package workload

import (
	"errors"
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// stream is a running Stream: an open loop has a process, a closed loop its
// clients.
type stream struct {
	open        process
	closed      *closed
	leaf        int // index of its first leaf in Source.coming
	start, stop protocol.Time
	model       int
	batch       int
	spread      cursor[int]
	slo         cursor[time.Duration]
	rng         rng
}

func (w Workload) run(of Stream, slo Schedule[time.Duration]) stream {
	seed := func(concern uint64) rng { return newRNG(w.Seed, of.Seed, concern) }
	s := stream{
		open:   of.Process.begin(seed),
		start:  protocol.Time(of.Start),
		stop:   protocol.Never,
		model:  of.Model,
		batch:  max(of.Batch, 1),
		spread: newCursor(of.Spread),
		slo:    newCursor(slo),
		rng:    seed(forModels),
	}
	for _, limit := range []time.Duration{w.Length, of.Stop} {
		if limit > 0 {
			s.stop = min(s.stop, protocol.Time(limit))
		}
	}
	if loop, ok := of.Process.(Closed); ok {
		s.closed = newClosed(loop)
	}
	return s
}

// leaves returns the maximum number of its pending arrivals.
func (s Stream) leaves() int {
	if loop, ok := s.Process.(Closed); ok {
		return loop.Clients
	}
	return 1
}

// deadlines converts factors to durations.
func (s Stream) deadlines(path string, exec func(string) time.Duration) (Schedule[time.Duration], error) {
	var out Schedule[time.Duration]
	for _, step := range s.SLO {
		d := step.Value.Fixed
		if f := step.Value.Factor; f > 0 {
			if exec == nil {
				return nil, errors.New("its SLO is a factor of an execution time, and none is known")
			}
			d = time.Duration(f * float64(exec(path)))
			if d <= 0 || d > protocol.MaxSLO {
				return nil, fmt.Errorf("an SLO of %v times %s is %v", f, path, d)
			}
		}
		out = append(out, Step[time.Duration]{step.From, d})
	}
	return out, nil
}

// following returns when an open loop sends next.
func (s *stream) following() protocol.Time {
	at := s.open.next()
	if at == protocol.Never {
		return at
	}
	return s.within(s.start.Add(time.Duration(at)))
}

// within returns at, or Never if that is too late.
func (s *stream) within(at protocol.Time) protocol.Time {
	if at >= s.stop {
		return protocol.Never
	}
	return at
}

func (s *stream) arrival(at protocol.Time, stream, client int) Arrival {
	into := at - s.start
	slo, _ := s.slo.at(into)
	a := Arrival{At: at, Model: s.model, Stream: stream, Client: client, SLO: slo, Batch: s.batch}
	if n, _ := s.spread.at(into); n > 1 {
		a.Model += s.rng.below(n)
	}
	return a
}
