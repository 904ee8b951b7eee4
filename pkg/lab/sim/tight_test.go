package sim

import (
	"slices"
	"testing"
	"time"

	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// TestTheBoundIsNearlyReached: how tight Bound is. A search that knows all
// arrivals, and that has no overhead, finds a schedule for one GPU in overload;
// the best there is lies between the two. The policy knows nothing beforehand.
func TestTheBoundIsNearlyReached(t *testing.T) {
	for slo, least := range map[time.Duration]float64{50 * time.Millisecond: 0.94, 100 * time.Millisecond: 0.95} {
		c := Defaults("clockwork")
		c.MaxBatch = 16
		w, err := workload.Named("paper-6.1-open", workload.Options{Seed: 1, Rate: 1000, Length: 10 * time.Second, SLO: workload.Within(slo), Path: "zoo/resnet50_v2"})
		if err != nil {
			t.Fatal(err)
		}
		bound, err := Bound(c, w)
		if err != nil {
			t.Fatal(err)
		}
		runs, err := arrivals(c, w)
		if err != nil {
			t.Fatal(err)
		}
		reached := clairvoyant(runs, 4)
		report, err := Run(c, w, nil)
		if err != nil {
			t.Fatal(err)
		}
		share := float64(reached) / float64(bound)
		t.Logf("SLO %v: bound %d, knowing all arrivals %d (%.3f), clockwork %d (%.3f)", slo, bound, reached, share, report.OK(), float64(report.OK())/float64(bound))
		if share < least || reached > bound || report.OK() > bound {
			t.Errorf("SLO %v: %d of a bound of %d are reached, expected %v of it at least", slo, reached, bound, least)
		}
	}
}

// sketch is a schedule so far: who was served, how far each model's arrivals are
// worked off, and from when on the GPU is free.
type sketch struct {
	served int
	next   []int
	free   protocol.Time
	value  float64 // with what the rest could yield
}

// clairvoyant is a beam search: of all ways to go on from the best sketches, the
// best width are kept, by what they have served and by what each model's rest
// would yield at the price of GPU time at which Bound is least.
func clairvoyant(runs []*run, width int) (most int) {
	price := priceOf(runs, 1)
	rest := make([][]float64, len(runs))
	for i, r := range runs {
		rest[i] = r.rest(price)
	}
	beam := []sketch{{next: make([]int, len(runs))}}
	for len(beam) > 0 {
		var wider []sketch
		for _, p := range beam {
			most = max(most, p.served)
			wider = append(wider, p.steps(runs, rest, price)...)
		}
		slices.SortStableFunc(wider, func(a, b sketch) int {
			switch {
			case a.value > b.value:
				return -1
			case a.value < b.value:
				return 1
			}
			return 0
		})
		wider = slices.CompactFunc(wider, func(a, b sketch) bool { return a.value == b.value })
		beam = wider[:min(width, len(wider))]
	}
	return most
}

// steps are the ways to go on: a batch of one of the models from one of the first
// of its requests on, with those that are there or with the one that comes next,
// or to wait for the next arrival.
func (p sketch) steps(runs []*run, rest [][]float64, price float64) (steps []sketch) {
	next, coming := slices.Clone(p.next), protocol.Never
	for m, r := range runs {
		for next[m] < len(r.at) && p.free.Add(r.exec[1]) > r.at[next[m]].Add(r.slo) {
			next[m]++ // too late for it
		}
		if next[m] < len(r.at) && r.at[next[m]] > p.free {
			coming = min(coming, r.at[next[m]])
		}
	}
	add := func(m, from, size int, start protocol.Time) {
		s := sketch{served: p.served, next: slices.Clone(next), free: start}
		if size > 0 {
			s.served, s.next[m], s.free = p.served+size, from+size, start.Add(runs[m].exec[size])
		}
		s.value = float64(s.served) - price*float64(s.free)
		for i := range runs {
			s.value += rest[i][s.next[i]]
		}
		steps = append(steps, s)
	}
	if coming != protocol.Never {
		add(0, 0, 0, coming)
	}
	const heads, patience = 4, 5 * time.Millisecond
	for m, r := range runs {
		for from := next[m]; from < min(next[m]+heads, len(r.at)) && r.at[from] <= p.free; from++ {
			size := 0
			for size < r.most && from+size < len(r.at) && r.at[from+size] <= p.free && p.free.Add(r.exec[size+1]) <= r.at[from].Add(r.slo) {
				size++
			}
			if size == 0 {
				continue
			}
			add(m, from, size, p.free)
			if last := from + size; size < r.most && last < len(r.at) && r.at[last] > p.free && r.at[last] < p.free.Add(patience) &&
				r.at[last].Add(r.exec[size+1]) <= r.at[from].Add(r.slo) {
				add(m, from, size+1, r.at[last])
			}
		}
	}
	return steps
}

// rest is what the arrivals from each one on yield at most, at a price of time
// and without regard to other models.
func (r *run) rest(price float64) []float64 {
	n := len(r.at)
	yield := make([]float64, n+1)
	for first := n - 1; first >= 0; first-- {
		yield[first] = yield[first+1]
		for b := 1; b <= min(n-first, r.most) && r.at[first+b-1].Add(r.exec[b]) <= r.at[first].Add(r.slo); b++ {
			yield[first] = max(yield[first], yield[first+b]+float64(b)-price*float64(r.exec[b]))
		}
	}
	return yield
}
