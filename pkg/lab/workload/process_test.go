package workload

import (
	"math"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// gaps returns mean and coefficient of variation of what lies between arrivals.
func gaps(arrivals []Arrival) (mean, cv float64) {
	sum, squares := 0.0, 0.0
	for i := 1; i < len(arrivals); i++ {
		g := float64(arrivals[i].At - arrivals[i-1].At)
		sum, squares = sum+g, squares+g*g
	}
	n := float64(len(arrivals) - 1)
	mean = sum / n
	return mean, math.Sqrt(squares/n-mean*mean) / mean
}

func TestExponentialDrawsHaveTheirMomentsAndTail(t *testing.T) {
	const n = 1e6
	d := newRNG(7)
	sum, squares, tail := 0.0, 0.0, 0
	for range int(n) {
		x := d.exp()
		sum, squares = sum+x, squares+x*x
		if x > 3 {
			tail++
		}
	}
	if mean := sum / n; math.Abs(mean-1) > 0.004 {
		t.Errorf("mean %v, want 1", mean)
	}
	if second := squares / n; math.Abs(second-2) > 0.02 {
		t.Errorf("second moment %v, want 2", second)
	}
	near(t, "beyond 3", tail, n*math.Exp(-3))
}

func TestPoissonHasItsRateAndExponentialGaps(t *testing.T) {
	arrivals := all(t, of(100*time.Second, Stream{Process: Poisson{Always(1000.0)}}), 0)
	near(t, "100 s at 1000 r/s", len(arrivals), 1e5)
	if _, cv := gaps(arrivals); math.Abs(cv-1) > 0.02 {
		t.Errorf("the gaps' coefficient of variation is %.3f, want 1", cv)
	}
}

func TestFixedIsEvenAndDoesNotDrift(t *testing.T) {
	arrivals := all(t, of(1000*time.Second, Stream{Process: Fixed{Always(3.0)}}), 0)
	if len(arrivals) != 3000 {
		t.Fatalf("%d arrivals in 1000 s at 3 r/s", len(arrivals))
	}
	for i, a := range arrivals {
		want := float64(arrivals[0].At) + float64(i)*1e9/3
		if math.Abs(float64(a.At)-want) > 2 {
			t.Fatalf("arrival %d at %d ns, want %.0f", i, a.At, want)
		}
	}
}

func TestFixedStreamsAreOutOfStep(t *testing.T) {
	f := Fixed{Always(1.0)}
	first := all(t, of(time.Second, Stream{Seed: 1, Process: f}, Stream{Seed: 2, Process: f}), 0)
	if len(first) != 2 || first[0].At == first[1].At {
		t.Errorf("got %+v, want one arrival of each at different times", first)
	}
}

func TestARateChangesOnSchedule(t *testing.T) {
	rate := Schedule[float64]{{10 * time.Second, 100}, {20 * time.Second, 0}, {30 * time.Second, 1000}, {40 * time.Second, 0}}
	for name, p := range map[string]Process{"poisson": Poisson{rate}, "fixed": Fixed{rate}} {
		var per [4]int
		for _, a := range all(t, of(0, Stream{Process: p}), 0) { // it ends by itself
			per[a.At/protocol.Time(10*time.Second)]++
		}
		for i, mean := range []float64{0, 1000, 0, 10000} {
			near(t, name, per[i], mean)
		}
		if per[0]+per[2] > 0 {
			t.Errorf("%s: arrivals at rate 0: %v", name, per)
		}
	}
}

func TestRatesNearZeroEndQuietly(t *testing.T) {
	if a := all(t, of(0, Stream{Process: Poisson{Always(1e-300)}}, Stream{Process: Poisson{}}), 0); len(a) > 0 {
		t.Errorf("%d arrivals", len(a))
	}
}

func TestBurstsHaveTheirShareOfTheTimeAndMoreVariation(t *testing.T) {
	p := Bursty{Always(20.0), 10 * time.Second, 20 * time.Second}
	const hours = 20
	arrivals := all(t, of(hours*time.Hour, Stream{Process: p}), 0)
	mean := 20.0 / 3 * hours * 3600
	if got := float64(len(arrivals)); math.Abs(got/mean-1) > 0.05 {
		t.Errorf("%v arrivals, want about %.0f: a third of the time at 20 r/s", got, mean)
	}
	if _, cv := gaps(arrivals); cv < 3 {
		t.Errorf("the gaps' coefficient of variation is %.2f, want far more than Poisson's 1", cv)
	}
}

func TestAClosedLoopNeverHasMoreOutstandingThanClients(t *testing.T) {
	const clients = 16
	s := source(t, of(time.Second, Stream{Process: Closed{Clients: clients, Think: time.Millisecond, Ramp: 10 * time.Millisecond}}))
	d := newRNG(3)
	var waiting []Arrival
	sent, most := 0, 0
	for now := protocol.Time(0); ; {
		if at := s.Peek(); at == protocol.Never && len(waiting) == 0 {
			break
		} else if at != protocol.Never && (len(waiting) == 0 || d.below(2) == 0) {
			a, _ := s.Next()
			now = a.At
			waiting = append(waiting, a)
			sent, most = sent+1, max(most, len(waiting))
			continue
		}
		i := d.below(len(waiting)) // answers come in any order
		now += protocol.Time(d.below(1e5))
		s.Done(waiting[i], now)
		waiting = append(waiting[:i], waiting[i+1:]...)
	}
	if most != clients || sent < 1000 {
		t.Errorf("%d sent, at most %d outstanding; want %d", sent, most, clients)
	}
}

func TestAClientThinksBetweenAnswerAndRequest(t *testing.T) {
	arrivals := all(t, of(time.Second, Stream{Process: Closed{Clients: 1, Think: 30 * time.Millisecond}}), 20*time.Millisecond)
	if len(arrivals) != 20 || arrivals[19].At != protocol.Time(950*time.Millisecond) {
		t.Errorf("%d arrivals, the last at %v; want 20, one each 50 ms", len(arrivals), arrivals[len(arrivals)-1].At)
	}
}

func TestAClosedLoopEndsAfterItsRequests(t *testing.T) {
	for _, clients := range []int{3, 50} {
		if n := len(all(t, of(0, Stream{Process: Closed{Clients: clients, Requests: 20}}), time.Millisecond)); n != 20 {
			t.Errorf("%d clients sent %d requests, want 20", clients, n)
		}
	}
}

func TestAnAnswerFromThePastBringsNoArrivalFromThePast(t *testing.T) {
	s := source(t, of(0, Stream{Process: Closed{Clients: 1}}, Stream{Model: 1, Process: Times{[]protocol.Time{100}}}))
	a, _ := s.Next()
	s.Next()
	s.Done(a, 50)
	if s.Peek() != 100 {
		t.Errorf("the next arrival is at %v, before the latest", s.Peek())
	}
}

func TestAnswerOfAnOpenLoopMeansNothing(t *testing.T) {
	s := source(t, of(0, Stream{Process: Times{[]protocol.Time{1}}}))
	a, _ := s.Next()
	s.Done(a, 2)
	s.Done(a, 2)
	if _, more := s.Next(); more {
		t.Error("an answer brought an arrival")
	}
}

func TestASecondAnswerIsABug(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a client was answered twice and nobody noticed")
		}
	}()
	s := source(t, of(0, Stream{Process: Closed{Clients: 1, Think: time.Second}}))
	a, _ := s.Next()
	s.Done(a, 1)
	s.Done(a, 2)
}

func TestCountsAreReproducedExactlyEachMinute(t *testing.T) {
	d := newRNG(5)
	want := map[uint32]int{}
	var counts []Count
	for m := range uint32(1440) {
		if n := d.below(6); n > 1 {
			want[m] = n * n * n
			counts = append(counts, Count{m, uint32(n * n * n)})
		}
	}
	for _, minute := range []time.Duration{0, time.Second} {
		length := max(minute, time.Second)
		if minute == 0 {
			length = time.Minute
		}
		got := map[uint32]int{}
		for _, a := range all(t, of(0, Stream{Process: Counts{Minutes: counts, Minute: minute}}), 0) {
			got[uint32(a.At/protocol.Time(length))]++
		}
		for m, n := range want {
			if got[m] != n {
				t.Fatalf("minute %d of %v: %d arrivals, want %d", m, length, got[m], n)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%d minutes with arrivals, want %d", len(got), len(want))
		}
	}
}

func TestArrivalsInsideAMinuteArePoisson(t *testing.T) {
	arrivals := all(t, of(0, Stream{Process: Counts{Minutes: []Count{{0, 60000}}}}), 0)
	if _, cv := gaps(arrivals); math.Abs(cv-1) > 0.02 {
		t.Errorf("the gaps' coefficient of variation is %.3f, want 1", cv)
	}
	first := 0
	for _, a := range arrivals {
		if a.At < protocol.Time(6*time.Second) {
			first++
		}
	}
	near(t, "in a tenth of the minute", first, 6000)
}

func TestScaledCountsKeepTheirMean(t *testing.T) {
	var counts []Count
	for m := range uint32(1000) {
		counts = append(counts, Count{m, 1})
	}
	scale := Schedule[float64]{{0, 0.25}, {500 * time.Minute, 2.5}}
	var half [2]int
	for _, a := range all(t, of(0, Stream{Process: Counts{Minutes: counts, Scale: scale}}), 0) {
		half[a.At/protocol.Time(500*time.Minute)]++
	}
	near(t, "scaled by 0.25", half[0], 125)
	near(t, "scaled by 2.5", half[1], 1250)
}
