package sim

import (
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// maxStreams bounds the number of streams; workloads with more get no series per
// stream.
const maxStreams = 64

// Tally counts the requests of a window: Offered by arrival time, all others by
// answer time.
type Tally struct {
	Offered, OK, Refused, Missed, Cold int
	// Worst is the longest latency of an OK request.
	Worst   time.Duration
	Latency protocol.Histogram
}

// Point is one window of the series.
type Point struct {
	Tally
	// SLO is the tightest SLO of the requests that arrived.
	SLO time.Duration
	// Exec and Transfer are the GPU time of executions and transfers that ended in
	// this window. Batches counts these executions, Items their items.
	Exec, Transfer                   time.Duration
	Batches, Items, Loads, Evictions int
	// Over and Under are the largest prediction errors.
	Over, Under time.Duration
}

// Class counts the requests with one SLO.
type Class struct {
	SLO         time.Duration
	Offered, OK int
}

// Share returns the share of offered requests that were OK, 1 if none was
// offered.
func (c Class) Share() float64 { return share(c.OK, c.Offered) }

func share(part, whole int) float64 {
	if whole == 0 {
		return 1
	}
	return float64(part) / float64(whole)
}

func (t *Tally) answer(q *request, code protocol.Code, latency time.Duration) {
	switch {
	case code == protocol.OK:
		t.OK++
		t.Worst = max(t.Worst, latency)
		t.Latency.Add(latency)
		if q.cold {
			t.Cold++
		}
	case q.ordered:
		t.Missed++
	default:
		t.Refused++
	}
}

func (r *Report) window(at protocol.Time) int { return int(time.Duration(at) / r.Window) }

func (r *Report) point(i int) *Point { return grown(&r.Series, i) }

func (r *Report) stream(stream, i int) *Tally { return grown(&r.Streams[stream], i) }

func grown[T any](s *[]T, i int) *T {
	for len(*s) <= i {
		*s = append(*s, *new(T))
	}
	return &(*s)[i]
}

// of returns the class of an SLO. It is usually that of the last request.
func (r *Report) of(slo time.Duration) *Class {
	if r.class < len(r.Classes) && r.Classes[r.class].SLO == slo {
		return &r.Classes[r.class]
	}
	i, found := slices.BinarySearchFunc(r.Classes, slo, func(c Class, slo time.Duration) int { return int(c.SLO - slo) })
	if !found {
		r.Classes = slices.Insert(r.Classes, i, Class{SLO: slo})
	}
	r.class = i
	return &r.Classes[i]
}
