package workload

import (
	"fmt"
	"hash/fnv"
	"math"
	"reflect"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// zoo stands for the 61 models of the paper.
func zoo() []string {
	var paths []string
	for i := range 61 {
		paths = append(paths, fmt.Sprintf("zoo/model%d", i))
	}
	return paths
}

// fingerprint is a hash of the first arrivals; each is answered 5 ms later.
func fingerprint(t *testing.T, w Workload, most int) uint64 {
	s := source(t, w)
	h := fnv.New64a()
	for range most {
		a, more := s.Next()
		if !more {
			break
		}
		fmt.Fprintln(h, a)
		s.Done(a, a.At+5e6)
	}
	return h.Sum64()
}

func TestEveryNamedWorkloadRunsAndTheSameSeedGivesTheSameArrivals(t *testing.T) {
	for _, name := range Names() {
		o := Options{Seed: 1, Zoo: zoo()[:5], Length: 10 * time.Minute}
		prints := map[uint64]bool{}
		for _, seed := range []uint64{1, 1, 2} {
			o.Seed = seed
			w, err := Named(name, o)
			if err != nil {
				t.Fatal(err)
			}
			prints[fingerprint(t, w, 5000)] = true
			if w.Name != name || About(name) == "" {
				t.Errorf("%s is called %q, about %q", name, w.Name, About(name))
			}
		}
		closed := name == "simple" || name == "spam" || name == "single-spam" || name == "closed" || name == "comparison-closed" || name == "paper-6.1"
		if want := 2; len(prints) != want && !closed {
			t.Errorf("%s: seeds 1, 1 and 2 gave %d different runs, want %d", name, len(prints), want)
		}
	}
	if _, err := Named("lottery", Options{}); err == nil {
		t.Error("workload lottery was made")
	}
	for _, bad := range []Options{{Zoo: nil}, {Zoo: zoo(), Copies: -1}, {Zoo: zoo(), Rate: math.NaN()}, {Zoo: zoo(), GPUs: 1e9}, {Zoo: zoo(), Copies: 5000}} {
		if _, err := Named("azure", bad); err == nil {
			t.Errorf("azure was made of %+v", bad)
		}
	}
}

// TestTheProcessesDrawTheSameForEver pins the arrivals of one seed, on every
// machine. A change here makes old results incomparable.
func TestTheProcessesDrawTheSameForEver(t *testing.T) {
	minutes := []Count{{0, 500}, {2, 500}}
	w := of(5*time.Minute,
		Stream{Seed: 1, Process: Poisson{Always(7.7)}},
		Stream{Seed: 2, Model: 1, Process: Fixed{Always(3.3)}, Spread: Always(3)},
		Stream{Seed: 3, Model: 4, Process: Bursty{Always(20.0), 3 * time.Second, 5 * time.Second}},
		Stream{Seed: 4, Model: 5, Process: Closed{Clients: 3, Ramp: time.Second, Think: time.Second, Requests: 400}},
		Stream{Seed: 5, Model: 6, Process: Counts{Minutes: minutes, Scale: Always(0.7)}},
	)
	if got, want := fingerprint(t, w, 1e6), uint64(0xb1b658f215635afe); got != want {
		t.Errorf("fingerprint %#x, want %#x", got, want)
	}
}

// rates counts arrivals by model in [from, to).
func rates(t *testing.T, w Workload, from, to time.Duration) map[int]int {
	s := source(t, w)
	count := map[int]int{}
	for a, more := s.Next(); more && a.At < protocol.Time(to); a, more = s.Next() {
		if a.At >= protocol.Time(from) {
			count[a.Model]++
		}
	}
	return count
}

func TestFillMemoryHasThreeKindsOfModels(t *testing.T) {
	count := rates(t, FillMemory(Options{}), 0, 100*time.Second)
	near(t, "model 0", count[0], 100000)
	near(t, "model 5", count[5], 1000)
	near(t, "model 300", count[300], 100)
	if len(count) != 411 {
		t.Errorf("%d models, want 411", len(count))
	}
}

func TestPaper62ActivatesAModelEachSecond(t *testing.T) {
	w := Paper62(Options{})
	if n := len(w.Instances()); n != 3601 || w.Length != 75*time.Minute {
		t.Errorf("%d instances for %v, want 3601 for 75 minutes", n, w.Length)
	}
	before := rates(t, w, 0, 15*time.Minute)
	if near(t, "the steady model", before[3600], 200*900); len(before) != 1 {
		t.Errorf("%d models in the first 15 minutes, want 1", len(before))
	}
	later := rates(t, w, 15*time.Minute+99*time.Second, 15*time.Minute+100*time.Second)
	if len(later) > 101 || len(later) < 90 {
		t.Errorf("%d models in the 100th second, want the steady one and 100", len(later))
	}
	near(t, "one of 100", later[50], 10)
}

func TestPaper63RaisesTheSLOTwelveTimes(t *testing.T) {
	w := Paper63(Options{Copies: 48, Rate: 2400})
	slos := w.Streams[0].SLO
	if len(slos) != 12 || slos[0].Value.Fixed != 2900*time.Microsecond || slos[1].Value.Fixed != 4350*time.Microsecond || w.Length != 6*time.Minute {
		t.Errorf("%d steps from %v for %v, want 12 from 2.9 ms for 6 minutes", len(slos), slos[0], w.Length)
	}
	total := 0
	for _, n := range rates(t, w, 0, 10*time.Second) {
		total += n
	}
	near(t, "all", total, 24000)
}

func TestPaper64HasBatchClientsBesideLatencySensitiveModels(t *testing.T) {
	w := Paper64(Options{})
	sensitive, batch := 0, 0
	for _, a := range all(t, w, time.Second) {
		if a.Model < 6 {
			sensitive++
			continue
		}
		batch++
		if a.SLO != protocol.MaxSLO {
			t.Fatalf("a batch client asks for %v", a.SLO)
		}
	}
	near(t, "latency-sensitive", sensitive, 200*360)
	if most := 12 * 16 * 360; batch > most || batch < most*95/100 {
		t.Errorf("%d batch requests answered after 1 s each, want nearly %d", batch, most)
	}
	if n := len(Paper64(Options{Background: -1}).Instances()); n != 6 {
		t.Errorf("%d instances without background, want 6", n)
	}
}

func TestPaper65SpreadsFunctionsOverAllInstances(t *testing.T) {
	w := Paper65(Options{Zoo: zoo(), Length: 20 * time.Minute})
	if n := len(w.Instances()); n != 4026 {
		t.Errorf("%d instances, want 4026", n)
	}
	used, total := map[int]bool{}, 0
	for _, s := range w.Streams {
		used[s.Model] = true
		for _, m := range s.Process.(Counts).Minutes {
			total += int(m.N)
		}
	}
	if len(used) < 4026*8/10 {
		t.Errorf("%d instances get requests in 20 minutes", len(used))
	}
	if mean := float64(total) / 1200; mean < 9638*0.95 || mean > 9638*1.05 {
		t.Errorf("mean rate %.0f, want about 9638", mean)
	}
}

func TestPaper66GrowsTheLoadEachMinute(t *testing.T) {
	w := Paper66(Options{Zoo: zoo()[:4], GPUs: 2})
	if w.Length != 10*time.Minute {
		t.Errorf("it lasts %v, want 10 minutes: 0.1 x1.5 up to 4", w.Length)
	}
	load := 0.1
	for m := range 3 {
		total := 0
		for _, n := range rates(t, w, time.Duration(m)*time.Minute, time.Duration(m+1)*time.Minute) {
			total += n
		}
		if got := float64(total) / 60 / (2 * 1204.75); got < load*0.85 || got > load*1.15 {
			t.Errorf("minute %d: load %.3f, want about %.3f", m, got, load)
		}
		load *= 1.5
	}
}

// What Takes says is so: a workload is another one with another value of what
// it takes, and the same one with another value of what it does not.
func TestAWorkloadTakesTheOptionsThatChangeIt(t *testing.T) {
	for _, name := range Names() {
		plain := Options{Seed: 1, Zoo: zoo()[:1], Copies: 20, Rate: 300, Clients: 3, Length: 10 * time.Minute}
		for option, change := range map[string]func(*Options){
			"copies": func(o *Options) { o.Copies = 5 }, "rate": func(o *Options) { o.Rate = 700 },
			"clients": func(o *Options) { o.Clients = 4 }, "models": func(o *Options) { o.Zoo = zoo()[:2] },
		} {
			other := plain
			change(&other)
			a, err := Named(name, plain)
			if err != nil {
				t.Fatal(err)
			}
			b, err := Named(name, other)
			if err != nil {
				t.Fatal(err)
			}
			if changes := !reflect.DeepEqual(a, b); changes != Takes(name, option) {
				t.Errorf("%s: %s changes it: %v; Takes says %v", name, option, changes, Takes(name, option))
			}
		}
	}
	if Takes("lottery", "rate") {
		t.Error("lottery takes a rate")
	}
}
