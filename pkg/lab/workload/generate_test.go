package workload

import (
	"math"
	"slices"
	"sync"
	"testing"
)

// made is a generated day of the size of the data set's days, about 46,000
// functions and 9e8 invocations, but a quarter of both.
var made = sync.OnceValue(func() Trace {
	trace, err := Generate(Shape{Functions: 11500, Rate: 2600, Seed: 1})
	if err != nil {
		panic(err)
	}
	return trace
})

// within fails unless got lies between the bounds.
func within(t *testing.T, what string, got, low, high float64) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %.4f, want %.3f to %.3f", what, got, low, high)
	}
}

// TestTheGeneratorHasTheShapeOfAzureFunctions checks against Shahrad et al.,
// ATC 2020. Where they give a number, it is in the line's name.
func TestTheGeneratorHasTheShapeOfAzureFunctions(t *testing.T) {
	trace := made()
	var per []float64
	triggers, invoked := map[string]float64{}, map[string]float64{}
	for _, f := range trace {
		n := float64(f.Invocations())
		per = append(per, n)
		triggers[f.Trigger]++
		invoked[f.Trigger] += n
	}
	slices.Sort(per)
	n, total := float64(len(per)), sum(per)
	atMost := func(perDay float64) float64 {
		return float64(slices.IndexFunc(per, func(x float64) bool { return x > perDay })) / n
	}
	top := func(share float64) float64 { return sum(per[len(per)-int(share*n):]) / total }

	within(t, "mean rate of 2600 r/s", total/86400, 2600*0.95, 2600*1.05)
	within(t, "at most once an hour: 45 %", atMost(24), 0.42, 0.50)
	within(t, "at most once a minute: 81 %", atMost(DayMinutes), 0.79, 0.83)
	within(t, "invocations of the top 18.6 %: 99.6 %", top(0.186), 0.990, 0.999)
	within(t, "invocations of the top 1 %: heavy tail, our choice", top(0.01), 0.75, 0.95)
	within(t, "the busiest function: our choice", top(1.01/n), 0.005, 0.10)
	within(t, "timers among functions: 15.6 %", triggers["timer"]/n, 0.14, 0.17)
	within(t, "timers' invocations: 2.0 %", invoked["timer"]/total, 0.005, 0.06)
	within(t, "http among functions: 55.0 %", triggers["http"]/n, 0.53, 0.57)
	within(t, "events among functions: 2.2 %", triggers["event"]/n, 0.015, 0.03)
	within(t, "invocations by events: 24.7 %", invoked["event"]/total, 0.10, 0.40)
	if per[0] > 1 || per[len(per)-1] < 1e6 {
		t.Errorf("functions have from %v to %v invocations, want many orders of magnitude", per[0], per[len(per)-1])
	}
}

func TestHalfTheLoadFollowsTheDay(t *testing.T) {
	var perHour [24]float64
	for _, f := range made() {
		for _, m := range f.Minutes {
			perHour[m.Minute/60] += float64(m.N)
		}
	}
	mean := sum(perHour[:]) / 24
	within(t, "the lowest hour, of the mean: about half", slices.Min(perHour[:])/mean, 0.5, 0.65)
	within(t, "the highest hour, of the mean", slices.Max(perHour[:])/mean, 1.3, 1.5)
}

func TestTimersFireAtTheSameDistance(t *testing.T) {
	for _, f := range made() {
		for i := 2; f.Trigger == "timer" && i < len(f.Minutes); i++ {
			a, b, c := f.Minutes[i-2], f.Minutes[i-1], f.Minutes[i]
			if c.Minute-b.Minute != b.Minute-a.Minute || c.N != a.N {
				t.Fatalf("%s fires in the minutes %v, %v, %v", f.Name, a, b, c)
			}
		}
	}
}

// TestSomeFunctionsBurst: in Azure 40 % vary more than a Poisson process, whose
// variance is its mean. Timers, a sixth, do not; so half of the others must.
func TestSomeFunctionsBurst(t *testing.T) {
	bursty, all := 0, 0
	for _, f := range made() {
		n := f.Invocations()
		if f.Trigger == "timer" || n < 200 || n > DayMinutes {
			continue
		}
		all++
		squares := 0.0
		for _, m := range f.Minutes {
			squares += float64(m.N) * float64(m.N)
		}
		mean := float64(n) / DayMinutes
		if variance := squares/DayMinutes - mean*mean; variance > 1.5*mean {
			bursty++
		}
	}
	within(t, "bursty functions", float64(bursty)/float64(all), 0.40, 0.55)
}

func TestTheSameShapeGivesTheSameTrace(t *testing.T) {
	same := func(a, b Trace) bool {
		return slices.EqualFunc(a, b, func(f, g Function) bool {
			return f.Trigger == g.Trigger && slices.Equal(f.Minutes, g.Minutes)
		})
	}
	make := func(seed uint64) Trace {
		trace, err := Generate(Shape{Functions: 500, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return trace
	}
	if !same(make(1), make(1)) || same(make(1), make(2)) {
		t.Error("seed 1 must give one trace and seed 2 another")
	}
}

func TestAnyMeanRateIsMet(t *testing.T) {
	for _, rate := range []float64{0.5, 20, 500, 20000} {
		trace, err := Generate(Shape{Functions: 2000, Minutes: 300, Rate: rate, Flat: true, Seed: 3})
		if err != nil {
			t.Fatal(err)
		}
		total := 0
		for _, f := range trace {
			total += f.Invocations()
		}
		if got := float64(total) / (300 * 60); math.Abs(got/rate-1) > 0.1 {
			t.Errorf("mean rate %.2f, want %v", got, rate)
		}
	}
	if _, err := Generate(Shape{}); err == nil {
		t.Error("a trace of no functions was generated")
	}
}
