package top

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// Summary is the state of a stack at an instant, as clockwork top --json prints it.
// Rates cover the last 5 to 10 s.
type Summary struct {
	At         time.Time `json:"at"`
	Stage      string    `json:"stage"` // "" while no front door publishes
	Epoch      uint64    `json:"epoch"` // of the active scheduler, 0 for none
	FrontDoors int       `json:"front_doors"`
	Active     int       `json:"schedulers_active"`
	Standby    int       `json:"schedulers_standby"`
	Workers    int       `json:"workers"`
	ModelCount int       `json:"models_loaded"`
	Lacking    int       `json:"models_lacking,omitempty"` // models that workers do not serve, summed over workers

	RatePerS   float64 `json:"rate_per_s"` // of all requests but the wrong ones
	MissedPerS float64 `json:"missed_per_s"`
	WrongPerS  float64 `json:"wrong_per_s"`
	InSLO      float64 `json:"in_slo"` // the share of RatePerS, 1 if there are no requests
	P50MS      float64 `json:"p50_ms"`
	P99MS      float64 `json:"p99_ms"`
	InFlight   int     `json:"in_flight"`
	Queued     int     `json:"queued"`
	// Prediction errors at the 99th percentile: how much longer (over) or shorter
	// (under) than predicted executions and loads took, each among those that were
	// longer or shorter.
	ExecOverMS  float64 `json:"exec_over_p99_ms"`
	ExecUnderMS float64 `json:"exec_under_p99_ms"`
	LoadOverMS  float64 `json:"load_over_p99_ms"`
	LoadUnderMS float64 `json:"load_under_p99_ms"`

	Codes  map[protocol.Code]float64 `json:"codes_per_s,omitempty"`
	GPUs   []GPU                     `json:"gpus"`
	Hidden int                       `json:"gpus_hidden,omitempty"`
	Models []Model                   `json:"models"` // models with requests, the busiest first
	Others float64                   `json:"other_models_per_s,omitempty"`
}

// GPU is the state of a GPU. Exec and Load are the lanes' busy shares of the last
// second.
type GPU struct {
	Worker     string  `json:"worker"`
	GPU        int     `json:"gpu"`
	Type       string  `json:"type"`
	Exec       float64 `json:"exec"`
	Load       float64 `json:"load"`
	PagesUsed  int     `json:"pages_used"`
	PagesTotal int     `json:"pages_total"`
	Models     int     `json:"models"`
	BatchMean  float64 `json:"batch_mean"`
	Stalled    string  `json:"stalled,omitempty"` // why it gets nothing done
	AheadMS    float64 `json:"ahead_ms"`          // for how long its execution lane has work
}

// Model is a model with requests.
type Model struct {
	Model    string  `json:"model"`
	RatePerS float64 `json:"rate_per_s"`
	InSLO    float64 `json:"in_slo"`
	P50MS    float64 `json:"p50_ms"` // of the slowest front door, as P99MS
	P99MS    float64 `json:"p99_ms"`
	ColdPerS float64 `json:"cold_per_s"`
	Copies   int     `json:"copies"` // GPUs with its weights; -1: unknown
	missed   float64
}

// Summary returns a summary of the statistics that the services published last.
func (s *State) Summary(now time.Time) *Summary {
	sum := &Summary{At: now.UTC(), FrontDoors: len(s.doors), Workers: len(s.workers), Codes: map[protocol.Code]float64{}, GPUs: []GPU{}, Models: []Model{}}
	copies, lanes := s.sumSchedulers(sum)
	s.sumDoors(sum, copies)
	s.sumWorkers(sum, lanes)
	return sum
}

func share(served, missed float64) float64 {
	if served+missed == 0 {
		return 1
	}
	return served / (served + missed)
}

func (s *State) sumSchedulers(sum *Summary) (copies map[string]int, lanes map[gpuKey]float64) {
	lanes = map[gpuKey]float64{}
	for _, id := range slices.Sorted(maps.Keys(s.schedulers)) {
		f := &s.schedulers[id].stats
		if !f.Active {
			sum.Standby++
			continue
		}
		sum.Active++
		sum.Queued += f.Queued
		if copies != nil && f.Epoch < sum.Epoch {
			continue // a scheduler that has been replaced
		}
		sum.Epoch, sum.Lacking, copies = f.Epoch, f.Lacking, f.Copies
		sum.ExecOverMS, sum.ExecUnderMS = protocol.Milliseconds(f.ExecOver.Quantile(0.99)), protocol.Milliseconds(f.ExecUnder.Quantile(0.99))
		sum.LoadOverMS, sum.LoadUnderMS = protocol.Milliseconds(f.LoadOver.Quantile(0.99)), protocol.Milliseconds(f.LoadUnder.Quantile(0.99))
		for _, l := range f.Lanes {
			lanes[gpuKey{l.Worker, l.GPU}] = l.ExecMS
		}
	}
	return copies, lanes
}

func (s *State) sumDoors(sum *Summary, copies map[string]int) {
	var latency protocol.Histogram
	served := 0.0
	models := map[string]*Model{}
	for _, id := range slices.Sorted(maps.Keys(s.doors)) {
		t := s.doors[id]
		f, seconds := &t.stats, t.span.Seconds()
		sum.Stage, sum.ModelCount = laterStage(sum.Stage, f.Stage), max(sum.ModelCount, f.Models)
		sum.InFlight += f.InFlight
		latency.Merge(f.Latency)
		served += float64(f.Served) / seconds
		sum.MissedPerS += float64(f.Missed) / seconds
		sum.WrongPerS += float64(f.Wrong) / seconds
		for code, n := range f.Codes {
			sum.Codes[code] += float64(n) / seconds
		}
		sum.Others += float64(f.Others.Served+f.Others.Missed) / seconds
		for i := range f.Busiest {
			addModel(models, &f.Busiest[i], seconds)
		}
	}
	sum.RatePerS, sum.InSLO = served+sum.MissedPerS, share(served, sum.MissedPerS)
	sum.P50MS, sum.P99MS = protocol.Milliseconds(latency.Quantile(0.5)), protocol.Milliseconds(latency.Quantile(0.99))
	for _, m := range models {
		m.InSLO = share(m.RatePerS-m.missed, m.missed)
		m.Copies = -1
		if n, known := copies[m.Model]; known {
			m.Copies = n
		}
		sum.Models = append(sum.Models, *m)
	}
	slices.SortFunc(sum.Models, byRate)
}

func addModel(models map[string]*Model, f *protocol.ModelStats, seconds float64) {
	m := models[f.Model]
	if m == nil {
		m = &Model{Model: f.Model}
		models[f.Model] = m
	}
	m.RatePerS += float64(f.Served+f.Missed) / seconds
	m.missed += float64(f.Missed) / seconds
	m.ColdPerS += float64(f.Cold) / seconds
	m.P50MS, m.P99MS = max(m.P50MS, float64(f.P50US)/1000), max(m.P99MS, float64(f.P99US)/1000)
}

func byRate(a, b Model) int {
	return cmp.Or(cmp.Compare(b.RatePerS, a.RatePerS), cmp.Compare(a.Model, b.Model))
}

// laterStage returns the later of two stages, given by name.
func laterStage(a, b string) string {
	of := func(name string) protocol.Stage {
		stage, _ := protocol.ParseStage(name)
		return stage
	}
	if of(b) > of(a) {
		return b
	}
	return a
}

func (s *State) sumWorkers(sum *Summary, lanes map[gpuKey]float64) {
	for _, id := range slices.Sorted(maps.Keys(s.workers)) {
		f := &s.workers[id].stats
		sum.Hidden += f.Hidden
		for _, g := range f.GPUs[:min(len(f.GPUs), protocol.MaxGPUStats)] {
			out := GPU{
				Worker: id, GPU: g.GPU, Type: g.Type, Exec: mean(g.Exec) / 100, Load: mean(g.Load) / 100,
				PagesUsed: g.PagesUsed, PagesTotal: g.PagesTotal, Models: g.Models, Stalled: g.Stalled, AheadMS: lanes[gpuKey{id, g.GPU}],
			}
			if g.Batches > 0 {
				out.BatchMean = float64(g.Items) / float64(g.Batches)
			}
			sum.GPUs = append(sum.GPUs, out)
		}
	}
}

func mean(of []int) float64 {
	sum := 0
	for _, n := range of {
		sum += n
	}
	return float64(sum) / float64(max(1, len(of)))
}

func count(done, total int) string { return fmt.Sprintf("%d of %d", done, total) }
