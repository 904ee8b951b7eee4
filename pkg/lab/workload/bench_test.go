package workload

import "testing"

// BenchmarkSource takes arrivals of 4,000 streams, as of a replay of thousands
// of functions.
func BenchmarkSource(b *testing.B) {
	const streams = 4000
	for name, process := range map[string]func(i int) Process{
		"poisson": func(i int) Process { return Poisson{Always(float64(1 + i%50))} },
		"fixed":   func(i int) Process { return Fixed{Always(float64(1 + i%50))} },
		"counts":  func(i int) Process { return Counts{Minutes: steady(60 * (1 + i%50))} },
	} {
		b.Run(name, func(b *testing.B) {
			w := Workload{Name: "bench", Seed: 1, Loads: []Load{{Path: resnet, Name: "m", Copies: streams}}}
			for i := range streams {
				w.Streams = append(w.Streams, Stream{Seed: uint64(i), Model: i, Process: process(i)})
			}
			s := source(b, w)
			b.ReportAllocs()
			for b.Loop() {
				if _, more := s.Next(); !more {
					b.Fatal("it ended")
				}
			}
		})
	}
}

// BenchmarkClosedLoop is one request and its answer.
func BenchmarkClosedLoop(b *testing.B) {
	s := source(b, of(0, Stream{Process: Closed{Clients: 4000, Think: 1e6, Ramp: 1e6}}))
	b.ReportAllocs()
	for b.Loop() {
		a, _ := s.Next()
		s.Done(a, a.At+1e6)
	}
}

func steady(n int) []Count {
	counts := make([]Count, 100)
	for m := range counts {
		counts[m] = Count{uint32(m), uint32(n)}
	}
	return counts
}

// BenchmarkGenerate makes up the trace of section 6.5, 18,117 functions over 8
// hours.
func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		if _, err := Generate(Shape{Functions: 18117, Minutes: 480, Rate: azureRate}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPaper65 takes arrivals of the experiment with most streams.
func BenchmarkPaper65(b *testing.B) {
	s := source(b, Paper65(Options{Zoo: zoo()}))
	b.ReportAllocs()
	for b.Loop() {
		s.Next()
	}
}
