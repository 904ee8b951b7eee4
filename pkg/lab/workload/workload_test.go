package workload

import (
	"math"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

const resnet = "zoo/resnet50_v2"

// exec is the execution time of every model in these tests.
func exec(string) time.Duration { return 3 * time.Millisecond }

// of makes a workload of streams that have a model each, unless they say.
func of(length time.Duration, streams ...Stream) Workload {
	return Workload{Name: "test", Seed: 1, Length: length, Streams: streams,
		Loads: []Load{{Path: resnet, Name: "m", Copies: 10}}}
}

func source(t testing.TB, w Workload) *Source {
	t.Helper()
	s, err := w.Source(exec)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// all runs a workload whose requests are answered after latency.
func all(t testing.TB, w Workload, latency time.Duration) []Arrival {
	t.Helper()
	s := source(t, w)
	var sent []Arrival
	var waiting []Arrival // all take as long, so they are answered in order
	for {
		answered := protocol.Never
		if len(waiting) > 0 {
			answered = waiting[0].At.Add(latency)
		}
		if s.Peek() == protocol.Never && answered == protocol.Never {
			return sent
		}
		if answered <= s.Peek() {
			s.Done(waiting[0], answered)
			waiting = waiting[1:]
			continue
		}
		a, _ := s.Next()
		sent, waiting = append(sent, a), append(waiting, a)
	}
}

// near fails unless got is within so many standard deviations of a Poisson
// count of that mean. Seeds are fixed, so a test passes always or never.
func near(t testing.TB, what string, got int, mean float64) {
	t.Helper()
	if math.Abs(float64(got)-mean) > 4*math.Sqrt(mean)+1 {
		t.Errorf("%s: %d arrivals, want about %.0f", what, got, mean)
	}
}

func TestArrivalsComeInOrderOfTimeThenOfStream(t *testing.T) {
	tie := Times{At: []protocol.Time{5, 5, 9}}
	var got []int
	last := protocol.Time(0)
	for _, a := range all(t, of(0, Stream{Process: tie}, Stream{Process: tie, Model: 1}), 0) {
		if a.At < last {
			t.Errorf("%v after %v", a.At, last)
		}
		last = a.At
		got = append(got, a.Stream)
	}
	if want := []int{0, 0, 1, 1, 0, 1}; !equal(got, want) {
		t.Errorf("streams %v, want %v", got, want)
	}
}

func equal(a, b []int) bool {
	for i := range a {
		if len(a) != len(b) || a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func TestLeavingOutAStreamChangesNoOther(t *testing.T) {
	var streams []Stream
	for i := range 10 {
		streams = append(streams, Stream{Seed: uint64(i), Model: i, Process: Poisson{Always(100.0)}})
	}
	streams[3].Process = Bursty{Always(500.0), time.Second, time.Second}
	byModel := func(w Workload) map[int][]protocol.Time {
		times := map[int][]protocol.Time{}
		for _, a := range all(t, w, 0) {
			times[a.Model] = append(times[a.Model], a.At)
		}
		return times
	}
	with := byModel(of(10*time.Second, streams...))
	without := byModel(of(10*time.Second, append(streams[:3:3], streams[4:]...)...))
	for model, times := range without {
		if len(times) == 0 || len(times) != len(with[model]) || times[len(times)-1] != with[model][len(times)-1] {
			t.Errorf("model %d: %d arrivals with the stream, %d without", model, len(with[model]), len(times))
		}
	}
	if len(without[3]) != 0 || len(with[3]) == 0 {
		t.Error("the wrong stream was left out")
	}
}

func TestStreamsOfDifferentSeedsDiffer(t *testing.T) {
	p := Poisson{Always(10.0)}
	a := all(t, of(time.Minute, Stream{Seed: 1, Process: p}, Stream{Seed: 2, Process: p}), 0)
	seen := map[protocol.Time]bool{}
	for _, a := range a {
		if seen[a.At] {
			t.Fatalf("both streams send at %v", a.At)
		}
		seen[a.At] = true
	}
}

func TestNothingIsSentOutsideStartStopAndLength(t *testing.T) {
	s := Stream{Process: Poisson{Always(1000.0)}, Start: 2 * time.Second, Stop: 3 * time.Second}
	late := Stream{Process: Poisson{Always(1000.0)}, Model: 1, Start: 4 * time.Second, Seed: 1}
	count := [2]int{}
	for _, a := range all(t, of(5*time.Second, s, late), 0) {
		from := protocol.Time([]time.Duration{2 * time.Second, 4 * time.Second}[a.Stream])
		if a.At < from || a.At >= from.Add(time.Second) {
			t.Errorf("stream %d sent at %v", a.Stream, a.At)
		}
		count[a.Stream]++
	}
	near(t, "before stop", count[0], 1000)
	near(t, "before the end", count[1], 1000)
}

func TestRequestsAreSpreadEvenlyOverTheModelsThatAreActive(t *testing.T) {
	spread := Schedule[int]{{0, 2}, {10 * time.Second, 4}}
	count := map[int]int{}
	for _, a := range all(t, of(20*time.Second, Stream{Model: 3, Spread: spread, Process: Poisson{Always(1000.0)}}), 0) {
		count[a.Model]++
	}
	for model, mean := range map[int]float64{3: 7500, 4: 7500, 5: 2500, 6: 2500} {
		near(t, "model", count[model], mean)
	}
	if len(count) != 4 {
		t.Errorf("requests went to %d models, want 4", len(count))
	}
}

func TestAnSLOIsFixedOrAFactorAndChangesOnSchedule(t *testing.T) {
	slo := Schedule[SLO]{{0, SLO{Factor: 2}}, {time.Second, SLO{Fixed: 50 * time.Millisecond}}, {2 * time.Second, SLO{}}}
	start := 5 * time.Second // a schedule counts from the start of its stream
	for _, a := range all(t, of(start+3*time.Second, Stream{Process: Fixed{Always(100.0)}, SLO: slo, Start: start, Batch: 4}), 0) {
		want := []time.Duration{6 * time.Millisecond, 50 * time.Millisecond, 0}[a.At.Sub(protocol.Time(start))/time.Second]
		if a.SLO != want || a.Batch != 4 {
			t.Fatalf("at %v: SLO %v, batch %d; want %v, 4", a.At, a.SLO, a.Batch, want)
		}
	}
}

func TestBadWorkloadsAreNamedErrors(t *testing.T) {
	ok := Poisson{Always(1.0)}
	for want, w := range map[string]Workload{
		"0 streams":           of(0),
		"no process":          of(0, Stream{}),
		"stream 1":            of(0, Stream{Process: ok}, Stream{}),
		"rate: step 0":        of(0, Stream{Process: Poisson{Always(math.NaN())}}),
		"value -1":            of(0, Stream{Process: Fixed{Always(-1.0)}}),
		"step 1 begins":       of(0, Stream{Process: Poisson{Schedule[float64]{{0, 1}, {0, 2}}}}),
		"instances 10 to 10":  of(0, Stream{Process: ok, Model: 10}),
		"instances 9 to 10":   of(0, Stream{Process: ok, Model: 9, Spread: Always(2)}),
		"0 clients":           of(0, Stream{Process: Closed{}}),
		"both must last":      of(0, Stream{Process: Bursty{Rate: Always(1.0)}}),
		"minute 4 has":        of(0, Stream{Process: Counts{Minutes: []Count{{4, 1}, {4, 1}}}}),
		"earlier than":        of(0, Stream{Process: Times{[]protocol.Time{2, 1}}}),
		"SLO: step 0":         of(0, Stream{Process: ok, SLO: Within(-1)}),
		"no model name":       {Loads: []Load{{Name: "A b", Copies: 1}}, Streams: []Stream{{Process: ok}}},
		"instances are calle": {Loads: []Load{{Name: "a", Copies: 1}, {Name: "a", Copies: 1}}, Streams: []Stream{{Process: ok}}},
		"0 copies of x":       {Loads: []Load{{"x", "a", 0}}, Streams: []Stream{{Process: ok}}},
		"5000 copies of x":    {Loads: []Load{{"x", "a", 5000}}, Streams: []Stream{{Process: ok}}},
		"is spread over":      {Loads: []Load{{"x", "a", 1}, {"y", "b", 1}}, Streams: []Stream{{Process: ok, Spread: Always(2)}}},
	} {
		if _, err := w.Source(exec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
	if _, err := of(0, Stream{Process: ok, SLO: Factors(Always(2.0))}).Source(nil); err == nil {
		t.Error("an SLO factor was taken without an execution time")
	}
}
