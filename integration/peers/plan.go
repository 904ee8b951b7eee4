package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// cell is one measurement of each server.
type cell struct {
	Workload string `json:"workload"`
	// Load is a multiple of what one bare session serves.
	Load float64 `json:"load"`
	Seed uint64  `json:"seed"`
	// sparse cells are measured with slow servers too.
	sparse bool
}

func (c cell) String() string {
	return fmt.Sprintf("%s at %.0f %%, seed %d", c.Workload, 100*c.Load, c.Seed)
}

// starts is the cell in which servers are started with twelve models and left alone.
const starts = "start"

// kinds of networks, in the turn in which models.py makes them.
var networks = []string{"squeezenet", "shufflenet", "resnet50"}

// models is how many models.py makes.
const models = 12

// capacity is what a bare session needs for one item, in milliseconds, by network.
type capacity map[string]float64

// of is how many requests per second of a network one bare session serves.
func (c capacity) of(network string) float64 { return 1000 / c[network] }

// ofTwelve is the same of the twelve models of W2, by their popularity.
func (c capacity) ofTwelve() float64 {
	sum, ms := 0.0, 0.0
	for i := range models {
		share := 1 / float64(i+1)
		sum, ms = sum+share, ms+share*c[networks[i%len(networks)]]
	}
	return 1000 * sum / ms
}

// study is a workload of the comparison.
type study struct {
	name, about string
	loads       []float64
	many        bool // twelve models are loaded
	make        func(c capacity, load float64, o workload.Options) workload.Workload
	// length overrides the length of a run.
	length time.Duration
	// pools bound what is in flight; the streams that no pool names share 256 places.
	pools []bench.Pool
}

var studies = []study{
	{name: "w1", about: "one model, SLO 100 ms", loads: []float64{0.25, 0.5, 0.75, 0.9, 1.25, 1.5, 2, 3}, make: makeW1},
	{name: "w2", about: "twelve models, popular and rare", loads: []float64{0.5, 0.9, 1.25}, many: true, make: makeW2},
	{name: "w3", about: "a burst of 300 %", loads: []float64{1}, length: 25 * time.Second, make: makeW3},
	{name: "w4", about: "a quick model beside a flood of a slow one", loads: []float64{1}, many: true, make: makeW4,
		pools: []bench.Pool{{Streams: []int{1}, Places: 64}}},
	{name: "w5", about: "SLOs of 25, 100 and 400 ms", loads: []float64{0.5, 0.9, 1.25}, many: true, make: makeW5},
	{name: "w6", about: "a day of twelve models and a flash crowd", loads: []float64{1}, many: true, length: 24 * time.Second, make: makeW6},
}

// sparseLoads are the loads at which slow servers are measured.
var sparseLoads = []float64{0.5, 1, 1.25, 2}

func makeW1(c capacity, load float64, o workload.Options) workload.Workload {
	o.Rate = load * c.of("squeezenet")
	return workload.PeersW1(o)
}

func makeW2(c capacity, load float64, o workload.Options) workload.Workload {
	o.Rate = load * c.ofTwelve()
	return workload.PeersW2(o)
}

func makeW3(c capacity, _ float64, o workload.Options) workload.Workload {
	o.Rate = c.of("squeezenet")
	return workload.PeersW3(o)
}

func makeW4(c capacity, _ float64, o workload.Options) workload.Workload {
	o.Rate = 2 * c.of("resnet50")
	w := workload.PeersW4(o)
	w.Streams[0].Process = workload.Poisson{Rate: workload.Always(0.5 * c.of("squeezenet"))}
	return w
}

func makeW5(c capacity, load float64, o workload.Options) workload.Workload {
	o.Rate = load * c.of("squeezenet")
	return workload.PeersW5(o)
}

func makeW6(c capacity, _ float64, o workload.Options) workload.Workload {
	o.Rate = c.ofTwelve()
	return workload.PeersW6(o)
}

// studyOf returns the study of a cell.
func studyOf(name string) study {
	return studies[slices.IndexFunc(studies, func(s study) bool { return s.name == name })]
}

const (
	// warmup is sent before what is measured, at most at half of what one executor serves.
	warmup = 1500 * time.Millisecond
	// places is how many requests may be in flight.
	places = 256
)

// workload returns what is sent in a cell of a study: a warm-up first.
func (s study) workload(c capacity, load float64, seed uint64, length time.Duration) workload.Workload {
	if s.length > 0 {
		length = s.length
	}
	w := s.make(c, load, workload.Options{Seed: seed, Length: length})
	gentle := min(1, 0.5/load)
	for i := range w.Streams {
		rate := w.Streams[i].Process.(workload.Poisson).Rate
		warm := workload.Schedule[float64]{{Value: gentle * rate[0].Value}}
		for _, step := range rate {
			warm = append(warm, workload.Step[float64]{From: step.From + warmup, Value: step.Value})
		}
		w.Streams[i].Process = workload.Poisson{Rate: warm}
	}
	w.Name, w.Length = s.name, length+warmup
	return w
}

// bounds are the pools of a run: those of the study, and one for all other streams.
func (s study) bounds(streams int) []bench.Pool {
	rest := bench.Pool{Places: places}
	for i := range streams {
		if !slices.ContainsFunc(s.pools, func(p bench.Pool) bool { return slices.Contains(p.Streams, i) }) {
			rest.Streams = append(rest.Streams, i)
		}
	}
	return append(slices.Clone(s.pools), rest)
}

// served returns the models that take the place of a workload's instances: the n-th
// instance of a network is the n-th model that is one.
func served(w workload.Workload) (all []protocol.ModelState) {
	count := map[string]int{}
	for _, in := range w.Instances() {
		network := strings.TrimPrefix(in.Path, "zoo/cpu_")
		turn := slices.Index(networks, network)
		all = append(all, model(turn+len(networks)*count[network]))
		count[network]++
	}
	return all
}

// model is the i-th model that models.py makes, from 0.
func model(i int) protocol.ModelState {
	name := fmt.Sprintf("m%02d", i+1)
	picture := protocol.TensorSpec{Name: "data", Datatype: protocol.FP32, Shape: []int64{3, 224, 224}}
	return protocol.ModelState{ModelSpec: protocol.ModelSpec{Name: name, Path: name, Inputs: []protocol.TensorSpec{picture}}}
}

// sample are the inputs of a request.
func sample() []protocol.Tensor {
	m := model(0)
	return client.Sample(&m.ModelSpec, 1)
}

// names of the models that a server has.
func names(many bool) (all []string) {
	for i := range models {
		if i == 0 || many {
			all = append(all, model(i).Name)
		}
	}
	return all
}

// choice is what of the comparison is run.
type choice struct {
	workloads, servers []string // none: all
	loads              []float64
	seeds              []uint64
}

// parseOnly reads WORKLOAD,...:SERVER,... of which either may be empty.
func parseOnly(text string) (c choice, err error) {
	workloads, servers, _ := strings.Cut(text, ":")
	c.workloads, c.servers = list(workloads), list(servers)
	for _, w := range c.workloads {
		if w != starts && !slices.ContainsFunc(studies, func(s study) bool { return s.name == w }) {
			return c, fmt.Errorf("%q is no workload of the comparison", w)
		}
	}
	return c, nil
}

func list(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// numbers reads numbers separated by commas.
func numbers(text string) (all []float64, err error) {
	for _, word := range list(text) {
		n, err := strconv.ParseFloat(word, 64)
		if err != nil || !(n > 0) {
			return nil, fmt.Errorf("%q is no number above 0", word)
		}
		all = append(all, n)
	}
	return all, nil
}

// cells returns what is measured of a study, in turn.
func (c choice) cells(s study) (all []cell) {
	if len(c.workloads) > 0 && !slices.Contains(c.workloads, s.name) {
		return nil
	}
	loads := s.loads
	if len(c.loads) > 0 && len(s.loads) > 1 {
		loads = c.loads
	}
	for _, seed := range c.seeds {
		for _, load := range loads {
			all = append(all, cell{s.name, load, seed, seed == c.seeds[0] && slices.Contains(sparseLoads, load)})
		}
	}
	return all
}

// takes reports whether a server is compared.
func (c choice) takes(s setting) bool {
	return len(c.servers) == 0 || slices.Contains(c.servers, s.name)
}
