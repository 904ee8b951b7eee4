package livestats

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// FrontDoor counts the answers of a front door.
type FrontDoor struct{ span[answers] }

type answers struct {
	protocol.Answers
	codes   map[protocol.Code]int
	latency protocol.Histogram
	models  map[string]*modelAnswers
}

type modelAnswers struct {
	protocol.Answers
	cold    int
	latency protocol.Histogram
}

// NewFrontDoor returns a FrontDoor that counts nothing until Watch.
func NewFrontDoor() *FrontDoor { return &FrontDoor{} }

// Answered counts an answer; model is "" if the stack does not serve the model.
func (d *FrontDoor) Answered(model string, code protocol.Code, latency time.Duration, cold bool) {
	d.count(func(a *answers) { a.add(model, code, latency, cold) })
}

func (a *answers) add(model string, code protocol.Code, latency time.Duration, cold bool) {
	if a.models == nil {
		a.codes, a.models = map[protocol.Code]int{}, map[string]*modelAnswers{}
	}
	a.Count(code)
	of := a.models[model]
	if of == nil {
		of = &modelAnswers{}
		a.models[model] = of
	}
	of.Count(code)
	if cold {
		of.cold++
	}
	if code != protocol.OK {
		a.codes[code]++
		return
	}
	a.latency.Add(latency)
	of.latency.Add(latency)
}

// LiveStats returns the statistics. The service adds its current state.
func (d *FrontDoor) LiveStats(now time.Time) protocol.LiveStats {
	f := &protocol.FrontDoorStats{Codes: map[protocol.Code]int{}}
	sums := map[string]*modelAnswers{}
	lasted := d.read(now, func(older, newer *answers) {
		for _, half := range []*answers{older, newer} {
			f.Add(half.Answers)
			f.Latency.Merge(half.latency)
			for code, n := range half.codes {
				f.Codes[code] += n
			}
			for name, of := range half.models {
				sum := sums[name]
				if sum == nil {
					sum = &modelAnswers{}
					sums[name] = sum
				}
				sum.Add(of.Answers)
				sum.cold += of.cold
				sum.latency.Merge(of.latency)
			}
		}
	})
	f.Busiest, f.Others = choose(sums)
	return protocol.LiveStats{At: now, SpanMS: protocol.Milliseconds(lasted), FrontDoor: f}
}

// choose returns the models that get statistics of their own, and the sum of the rest:
// most are chosen by requests, some by misses and some by cold starts.
func choose(sums map[string]*modelAnswers) (chosen []protocol.ModelStats, others protocol.ModelStats) {
	names := slices.Collect(maps.Keys(sums))
	taken := map[string]bool{"": true} // "" is no model
	for _, part := range []struct {
		most int
		of   func(*modelAnswers) int
	}{
		{protocol.MaxModelStats * 3 / 5, func(a *modelAnswers) int { return a.Served + a.Missed + a.Wrong }},
		{protocol.MaxModelStats / 5, func(a *modelAnswers) int { return a.Missed }},
		{protocol.MaxModelStats / 5, func(a *modelAnswers) int { return a.cold }},
	} {
		slices.SortFunc(names, func(a, b string) int {
			return cmp.Or(cmp.Compare(part.of(sums[b]), part.of(sums[a])), cmp.Compare(a, b))
		})
		left := part.most
		for _, name := range names {
			if left > 0 && !taken[name] && part.of(sums[name]) > 0 {
				taken[name] = true
				left--
				chosen = append(chosen, told(name, sums[name]))
			}
		}
	}
	for name, of := range sums {
		if name == "" || !taken[name] {
			others.Add(of.Answers)
			others.Cold += of.cold
		}
	}
	return chosen, others
}

func told(name string, of *modelAnswers) protocol.ModelStats {
	return protocol.ModelStats{
		Model: name, Answers: of.Answers, Cold: of.cold,
		P50US: of.latency.Quantile(0.5).Microseconds(), P99US: of.latency.Quantile(0.99).Microseconds(),
	}
}
