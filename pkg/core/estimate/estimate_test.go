package estimate

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSeedAnswersUntilTheFirstSample(t *testing.T) {
	e := New(Defaults(), 7*time.Millisecond)
	if e.Value() != 7*time.Millisecond {
		t.Fatalf("before any sample: got %v, want the seed", e.Value())
	}
	e.Add(2 * time.Millisecond)
	if e.Value() != 2*time.Millisecond || e.Samples() != 1 {
		t.Fatalf("after one sample: got %v of %d samples, want it alone", e.Value(), e.Samples())
	}
}

func TestPercentileInterpolates(t *testing.T) {
	for _, c := range []struct {
		p    float64
		want time.Duration
	}{{100, 1000}, {99, 991}, {50, 550}, {25, 325}} {
		e := New(Config{Window: 10, Percentile: c.p}, 0)
		for i := 10; i >= 1; i-- {
			e.Add(time.Duration(100 * i))
		}
		if e.Value() != c.want {
			t.Errorf("p%v of 100..1000: got %d, want %d", c.p, e.Value(), c.want)
		}
	}
}

func TestOldSamplesLeave(t *testing.T) {
	e := New(Config{Window: 3, Percentile: 100}, 0)
	for i, want := range []time.Duration{9, 9, 9, 2, 3} {
		e.Add([]time.Duration{9, 1, 1, 2, 3}[i])
		if e.Value() != want {
			t.Errorf("sample %d: got %d, want %d", i, e.Value(), want)
		}
	}
}

func TestForgetTakesTheLargestOut(t *testing.T) {
	e := New(Config{Window: 3, Percentile: 100}, 7)
	for _, d := range []time.Duration{1, 9, 2, 3} { // 1 has left
		e.Add(d)
	}
	for _, want := range []time.Duration{3, 2, 7, 7} {
		e.Forget()
		if e.Value() != want {
			t.Errorf("got %d, want %d", e.Value(), want)
		}
	}
	for _, d := range []time.Duration{5, 4, 6, 1} { // 5 leaves again as the oldest
		e.Add(d)
	}
	if e.Forget(); e.Value() != 4 || e.Samples() != 2 {
		t.Errorf("got %d of %d samples, want 4 of 2", e.Value(), e.Samples())
	}
}

// The twin keeps every sample and sorts the last ones each time.
func TestAgreesWithSortingEachTime(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	for world := 0; world < 50; world++ {
		config := Config{Window: 1 + dice.IntN(20), Percentile: 1 + 99*dice.Float64()}
		e, all := New(config, 0), []time.Duration{}
		for i := 0; i < 200; i++ {
			d := time.Duration(dice.IntN(50))
			all = append(all, d)
			e.Add(d)
			last := slices.Sorted(slices.Values(all[max(0, len(all)-config.Window):]))
			rank := config.Percentile / 100 * float64(len(last)-1)
			low, high := last[int(math.Floor(rank))], last[int(math.Ceil(rank))]
			want := low + time.Duration((rank-math.Floor(rank))*float64(high-low))
			if e.Value() != want {
				t.Fatalf("world %d %+v sample %d: got %d, want %d of %v", world, config, i, e.Value(), want, last)
			}
		}
	}
}

func TestConfigsOutOfRange(t *testing.T) {
	for _, bad := range []Config{{0, 99}, {5000, 99}, {10, 0}, {10, 101}, {10, math.NaN()}} {
		if bad.Validate() == nil {
			t.Errorf("%+v was taken", bad)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	e := New(Defaults(), 0)
	for i := 0; i < b.N; i++ {
		e.Add(time.Duration(i * 7919 % 1000))
	}
}
