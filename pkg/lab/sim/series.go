package sim

import (
	"math/bits"
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
	Latency Buckets
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
		t.Latency.add(latency)
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

// Buckets is a latency histogram with a few hundred buckets: exact to 16 us,
// then with a resolution of 1/16. It grows on demand.
type Buckets []uint32

func (b *Buckets) add(d time.Duration) {
	us := uint64(max(0, d.Microseconds()))
	i := int(us)
	if us >= 16 {
		shift := bits.Len64(us) - 5
		i = shift<<4 + int(us>>shift)
	}
	*grown((*[]uint32)(b), i)++
}

// at returns the upper end of bucket i.
func (b Buckets) at(i int) time.Duration {
	us := uint64(i) + 1
	if i >= 32 {
		shift := i>>4 - 1
		us = uint64(i&15+17) << shift
	}
	return time.Duration(us) * time.Microsecond
}

// Quantile returns the q-quantile, up to 1/16 too high; 0 if empty.
func (b Buckets) Quantile(q float64) time.Duration {
	total := 0
	for _, n := range b {
		total += int(n)
	}
	rank := int(q * float64(total))
	for i, n := range b {
		if rank -= int(n); rank < 0 || rank == 0 && q == 1 {
			return b.at(i)
		}
	}
	return 0
}
