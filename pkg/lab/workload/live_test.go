package workload

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"clockwork/pkg/protocol"
)

// virtual is a run in which each request is answered after so long.
func virtual(t *testing.T, w Workload, after time.Duration) []Arrival {
	t.Helper()
	s, err := w.Source(nil)
	if err != nil {
		t.Fatal(err)
	}
	var all, open []Arrival // open are ascending, for all take as long
	for {
		next, answer := s.Peek(), protocol.Never
		if len(open) > 0 {
			answer = open[0].At.Add(after)
		}
		switch {
		case next == protocol.Never && answer == protocol.Never:
			return all
		case answer <= next:
			s.Done(open[0], answer)
			open = open[1:]
		default:
			a, _ := s.Next()
			all, open = append(all, a), append(open, a)
		}
	}
}

// live is the same driven by a clock, as the package comment has it: one
// goroutine owns the source, another one each request.
func live(t *testing.T, w Workload, after time.Duration) []Arrival {
	t.Helper()
	s, err := w.Source(nil)
	if err != nil {
		t.Fatal(err)
	}
	type answer struct {
		Arrival
		at protocol.Time
	}
	start := time.Now()
	now := func() protocol.Time { return protocol.Time(time.Since(start)) }
	answers := make(chan answer)
	var all []Arrival
	var requests sync.WaitGroup
	defer requests.Wait()
	for waiting := 0; waiting > 0 || s.Peek() != protocol.Never; {
		timer := time.NewTimer(time.Duration(min(s.Peek(), protocol.Time(time.Hour)) - now()))
		select {
		case a := <-answers:
			waiting--
			s.Done(a.Arrival, a.at)
		case <-timer.C:
			a, there := s.Next()
			if !there {
				continue
			}
			waiting++
			all = append(all, a)
			requests.Go(func() {
				time.Sleep(after)
				answers <- answer{a, now()}
			})
		}
		timer.Stop()
	}
	return all
}

func mixed() Workload {
	return Workload{
		Name: "mixed", Seed: 5, Length: 3 * time.Second,
		Loads: []Load{{Path: "zoo/resnet50_v2", Name: "m", Copies: 3}},
		Streams: []Stream{
			{Seed: 0, Model: 0, Process: Poisson{Rate: Always(50.0)}, SLO: Within(50 * time.Millisecond)},
			{Seed: 1, Model: 1, Process: Closed{Clients: 4, Think: 7 * time.Millisecond, Ramp: 100 * time.Millisecond}},
			{Seed: 2, Model: 2, Process: Bursty{Rate: Always(200.0), Busy: 100 * time.Millisecond, Idle: 300 * time.Millisecond}},
		},
	}
}

// order is by time, then stream, then client: those of one moment may change
// places where answers of that moment are told one after the other.
func order(a, b Arrival) int {
	for _, d := range []int64{int64(a.At - b.At), int64(a.Stream - b.Stream), int64(a.Client - b.Client)} {
		if d != 0 {
			return int(d)
		}
	}
	return 0
}

// The clock is synctest's, which stands still while there is anything to do; so
// the two must not differ by a nanosecond.
func TestAClockDrivesAWorkloadAsTheSimulatorDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		want, got := virtual(t, mixed(), 11*time.Millisecond), live(t, mixed(), 11*time.Millisecond)
		slices.SortFunc(want, order)
		slices.SortFunc(got, order)
		if len(want) < 500 || !slices.Equal(got, want) {
			t.Errorf("%d arrivals in virtual time, %d by the clock", len(want), len(got))
		}
	})
}

// Several processes share a workload by its streams: each takes some of them,
// and together they send what one would.
func TestProcessesShareAWorkloadByItsStreams(t *testing.T) {
	const processes, after = 2, 11 * time.Millisecond
	whole := virtual(t, mixed(), after)
	var shared []Arrival
	for p := range processes {
		part := mixed()
		part.Streams = nil
		var origin []int
		for i, s := range mixed().Streams {
			if i%processes == p {
				part.Streams, origin = append(part.Streams, s), append(origin, i)
			}
		}
		for _, a := range virtual(t, part, after) {
			a.Stream = origin[a.Stream]
			shared = append(shared, a)
		}
	}
	slices.SortFunc(whole, order)
	slices.SortFunc(shared, order)
	if !slices.Equal(whole, shared) {
		t.Errorf("%d arrivals of one process, %d of %d", len(whole), len(shared), processes)
	}
}

// A driver that comes late catches up: what was due is there at once, with the
// time at which it was due, and nothing is left out.
func TestALateDriverMissesNothing(t *testing.T) {
	w := mixed()
	w.Streams = w.Streams[:1]
	s, err := w.Source(nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []Arrival
	for now := protocol.Time(0); s.Peek() != protocol.Never; now = now.Add(400 * time.Millisecond) {
		for s.Peek() <= now {
			a, _ := s.Next()
			got = append(got, a)
		}
	}
	if !slices.Equal(got, virtual(t, w, 0)) {
		t.Error("a driver that wakes every 400 ms sends something else")
	}
}
