package workload

import (
	"fmt"
	"math"
	"slices"

	"clockwork/pkg/protocol"
)

// Shape describes a trace to generate. Generated traces follow the
// characterisation of Azure Functions by Shahrad et al., "Serverless in the
// Wild", ATC 2020:
//   - popularity: 45 % are invoked at most once an hour, 81 % at most once a minute, the other
//     19 % make 99.6 % of the invocations; rates span eight orders of magnitude. (The source
//     states this for applications; its figure shows functions to be alike.);
//   - triggers by share of functions and of invocations, timers being periodic;
//   - 40 % have gaps that vary more than a Poisson process's;
//   - half of the load is constant, half follows the day.
//
// Where the source gives no number, the value is our own: the curve between and
// beyond those points, the lengths of bursts, and the hours of the day.
type Shape struct {
	Functions int
	// Minutes is the trace's length, 0 for a day.
	Minutes int
	// Rate is the mean of all functions together in requests per second. It is
	// reached by bending the curve above one invocation per minute, where nearly all
	// invocations are; if that is not enough, by scaling all rates. 0 keeps the
	// curve.
	Rate float64
	// Flat omits the variation over the hours of the day.
	Flat bool
	Seed uint64
}

// popularity is the curve of invocations per day by quantile of functions,
// log-linear between these points.
var popularity = []struct{ quantile, perDay float64 }{
	{0, 0.1}, {0.45, 24}, {0.81, DayMinutes}, {0.97, 2e4}, {0.995, 2e5}, {1, 1.2e7},
}

// head is the quantile above which functions carry the load: their triggers are
// drawn by share of invocations, and they never pause.
const head = 0.99

// hours are the weights of the hours of a day: half of the load is constant.
var hours = [24]float64{
	0.60, 0.55, 0.55, 0.55, 0.60, 0.70, 0.85, 1.05, 1.25, 1.40, 1.35, 1.35,
	1.40, 1.40, 1.40, 1.35, 1.30, 1.20, 1.10, 1.00, 0.90, 0.80, 0.70, 0.65,
}

// triggers are the triggers with their shares of functions and invocations, in
// percent.
var triggers = []struct {
	name                   string
	functions, invocations float64
}{
	{"http", 55.0, 35.9}, {"queue", 15.2, 33.5}, {"event", 2.2, 24.7}, {"orchestration", 6.9, 2.3},
	{"timer", 15.6, 2.0}, {"storage", 2.8, 0.7}, {"others", 2.2, 1.0},
}

// periods are the possible intervals between a timer's invocations, in minutes.
var periods = []int{1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 240, 360, 720, DayMinutes}

// Generate returns a random trace; the same shape gives the same trace.
func Generate(s Shape) (Trace, error) {
	if s.Minutes == 0 {
		s.Minutes = DayMinutes
	}
	if s.Functions < 1 || s.Functions > MaxFunctions || s.Minutes < 1 || s.Minutes > 28*DayMinutes || !between(0, 1e7)(s.Rate) {
		return nil, fmt.Errorf("generate a trace of %d functions, %d minutes, %v r/s: 1 to %d functions, up to 28 days and 10 million r/s", s.Functions, s.Minutes, s.Rate, MaxFunctions)
	}
	rates := s.rates()
	weights := s.weights()
	trace := make(Trace, s.Functions)
	for i, place := range shuffled(s.Functions, newRNG(s.Seed, forModels)) {
		quantile := (float64(i) + 0.5) / float64(s.Functions)
		m := maker{rng: newRNG(s.Seed, uint64(i), forCounts), weights: weights}
		trace[place] = m.function(place, quantile, rates[i])
	}
	return trace, nil
}

// rates returns each function's invocations per day, ascending.
func (s Shape) rates() []float64 {
	rates := make([]float64, s.Functions)
	for i := range rates {
		rates[i] = perDay((float64(i) + 0.5) / float64(s.Functions))
	}
	if s.Rate == 0 {
		return rates
	}
	target := s.Rate * DayMinutes * 60
	low, high := 0.0, 8.0
	for range 60 {
		middle := (low + high) / 2
		if sum(bent(rates, middle)) < target {
			low = middle
		} else {
			high = middle
		}
	}
	rates = bent(rates, low)
	scale := target / sum(rates)
	for i := range rates {
		rates[i] *= scale // 1 except for targets out of reach
	}
	return rates
}

// bent raises the rates above one per minute to a power, as multiples of one per
// minute.
func bent(rates []float64, power float64) []float64 {
	out := slices.Clone(rates)
	for i, r := range out {
		if r > DayMinutes {
			out[i] = DayMinutes * math.Pow(r/DayMinutes, power)
		}
	}
	return out
}

func sum(values []float64) float64 {
	total := 0.0
	for _, v := range values {
		total += v
	}
	return total
}

func perDay(quantile float64) float64 {
	i := 1
	for popularity[i].quantile < quantile {
		i++
	}
	a, b := popularity[i-1], popularity[i]
	part := (quantile - a.quantile) / (b.quantile - a.quantile)
	return a.perDay * math.Pow(b.perDay/a.perDay, part)
}

// weights returns the weights of the minutes, with mean 1.
func (s Shape) weights() []float64 {
	w := make([]float64, s.Minutes)
	for m := range w {
		w[m] = 1
		if !s.Flat {
			w[m] = hours[m/60%24]
		}
	}
	mean := sum(w) / float64(len(w))
	for m := range w {
		w[m] /= mean
	}
	return w
}

func shuffled(n int, d rng) []int {
	order := make([]int, n)
	for i := range order {
		j := d.below(i + 1)
		order[i], order[j] = order[j], i
	}
	return order
}

// maker generates one function.
type maker struct {
	rng     rng
	weights []float64
}

func (m *maker) function(place int, quantile, perDay float64) Function {
	f := Function{
		Owner:   fmt.Sprintf("owner%d", place/4),
		App:     fmt.Sprintf("app%d", place/2),
		Name:    fmt.Sprintf("function%d", place),
		Trigger: m.trigger(quantile > head),
	}
	perMinute := perDay / DayMinutes
	switch {
	case f.Trigger == "timer":
		f.Minutes = m.timer(perMinute)
	case quantile > head || m.rng.below(2) > 0:
		f.Minutes = m.counts(perMinute, nil)
	default: // half have bursts: a fifth of the time, at five times the rate
		f.Minutes = m.counts(5*perMinute, newBursts(newRNG(m.rng.next()), 10, 40))
	}
	return f
}

func (m *maker) trigger(ofHead bool) string {
	left := 100 * m.rng.float()
	for _, t := range triggers {
		share := t.functions
		if ofHead {
			share = t.invocations
		}
		if left -= share; left < 0 {
			return t.name
		}
	}
	return triggers[0].name
}

// timer returns a timer's counts: one invocation per period, or a constant
// number per minute.
func (m *maker) timer(perMinute float64) []Count {
	n, period := uint32(1), periods[len(periods)-1]
	if perMinute >= 1 {
		n, period = uint32(min(math.Round(perMinute), MaxCount)), 1
	} else if i := slices.IndexFunc(periods, func(p int) bool { return float64(p)*perMinute >= 1 }); i >= 0 {
		period = periods[i]
	}
	var counts []Count
	for minute := m.rng.below(period); minute < len(m.weights); minute += period {
		counts = append(counts, Count{uint32(minute), n})
	}
	return counts
}

// counts draws each minute's count from a Poisson distribution. In the pauses of
// b (in minutes), if not nil, the count is 0.
func (m *maker) counts(perMinute float64, b *bursts) []Count {
	var counts []Count
	left := m.rng.exp() // until the next invocation
	for minute, weight := range m.weights {
		mean := perMinute * weight
		if b != nil {
			if busy, _ := b.at(protocol.Time(minute)); !busy {
				continue
			}
		}
		if n := m.poisson(mean, &left); n > 0 {
			counts = append(counts, Count{uint32(minute), n})
		}
	}
	return slices.Clip(counts)
}

// poisson draws a Poisson number by counting exponential gaps; above a mean of
// 64 it uses the normal approximation.
func (m *maker) poisson(mean float64, left *float64) uint32 {
	if mean > 64 {
		return uint32(min(max(0, math.Round(mean+math.Sqrt(mean)*m.normal())), MaxCount))
	}
	n := uint32(0)
	for *left -= mean; *left < 0; *left += m.rng.exp() {
		n++
	}
	return n
}

// normal draws an approximately normal number: the sum of twelve uniform draws,
// minus its mean.
func (m *maker) normal() float64 {
	x := -6.0
	for range 12 {
		x += m.rng.float()
	}
	return x
}
