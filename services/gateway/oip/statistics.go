package oip

import (
	"maps"
	"math"
	"slices"
	"sync"
	"time"

	core "clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
)

// statistics count the requests of this gateway since it started, by model: as many as there
// were models. Any goroutine may use them.
type statistics struct {
	mu      sync.Mutex
	byModel map[string]*counts
}

// counts are those of a model.
type counts struct {
	version                                   string
	last                                      time.Time // when the last one was answered
	items                                     int64
	success, fail, queue, input, exec, output Duration
	sizes                                     map[int]*sizeCounts
}

// sizeCounts are the executions at one batch size, as far as requests of this gateway were in
// them: an execution that was shared with others counts by its share.
type sizeCounts struct{ executions, input, exec, output float64 }

// Duration is how often something happened, and how long it took together.
type Duration struct {
	Count uint64 `json:"count"`
	NS    uint64 `json:"ns"`
}

func (d *Duration) add(took time.Duration) {
	d.Count++
	d.NS += uint64(max(0, took))
}

// of returns the counts of a model. The caller holds the lock.
func (s *statistics) of(spec *protocol.ModelSpec) *counts {
	c := s.byModel[spec.Name]
	if c == nil {
		c = &counts{sizes: map[int]*sizeCounts{}}
		s.byModel[spec.Name] = c
	}
	c.version = VersionOf(spec)
	return c
}

// refused counts a request that went no further than the front door.
func (s *statistics) refused(spec *protocol.ModelSpec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(spec).fail.add(0)
}

// ended counts a request that was answered.
func (s *statistics) ended(e *core.Ended) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := e.Request
	c, took := s.of(&r.Model), e.At.Sub(r.Arrived)
	if e.Refusal != nil {
		c.fail.add(took)
		return
	}
	c.last = time.Now()
	c.items += int64(r.Batch)
	c.success.add(took)
	if o := e.Output; o != nil {
		c.executed(o, r.Dispatched.Sub(r.Arrived)+o.Queued)
	}
}

func (c *counts) executed(o *protocol.Output, queued time.Duration) {
	c.queue.add(queued)
	c.input.add(o.Input)
	c.exec.add(o.Exec)
	c.output.add(o.Output)
	n := c.sizes[o.Batch]
	if n == nil {
		n = &sizeCounts{}
		c.sizes[o.Batch] = n
	}
	share := float64(o.Items) / float64(max(1, o.Batch))
	n.executions += share
	n.input += share * float64(o.Input)
	n.exec += share * float64(o.Exec)
	n.output += share * float64(o.Output)
}

// ModelStatistics are those of a model as Triton has them. Clients read all of them without a
// look at whether they are there.
type ModelStatistics struct {
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	Last       uint64            `json:"last_inference"` // in milliseconds since 1970, 0 for none
	Inferences uint64            `json:"inference_count"`
	Executions uint64            `json:"execution_count"`
	Stats      InferStatistics   `json:"inference_stats"`
	Batches    []BatchStatistics `json:"batch_stats"`
}

// InferStatistics say where the time of requests went. There is no cache.
type InferStatistics struct {
	Success   Duration `json:"success"`
	Fail      Duration `json:"fail"`
	Queue     Duration `json:"queue"`
	Input     Duration `json:"compute_input"`
	Infer     Duration `json:"compute_infer"`
	Output    Duration `json:"compute_output"`
	CacheHit  Duration `json:"cache_hit"`
	CacheMiss Duration `json:"cache_miss"`
}

// BatchStatistics are those of the executions at one batch size.
type BatchStatistics struct {
	Size   int      `json:"batch_size"`
	Input  Duration `json:"compute_input"`
	Infer  Duration `json:"compute_infer"`
	Output Duration `json:"compute_output"`
}

func (c *counts) as(name string) ModelStatistics {
	m := ModelStatistics{
		Name: name, Version: c.version, Inferences: uint64(c.items), Batches: []BatchStatistics{},
		Stats: InferStatistics{Success: c.success, Fail: c.fail, Queue: c.queue, Input: c.input, Infer: c.exec, Output: c.output},
	}
	if !c.last.IsZero() {
		m.Last = uint64(c.last.UnixMilli())
	}
	executions := 0.0
	for _, size := range slices.Sorted(maps.Keys(c.sizes)) {
		n := c.sizes[size]
		executions += n.executions
		count := whole(n.executions)
		m.Batches = append(m.Batches, BatchStatistics{size, Duration{count, uint64(n.input)}, Duration{count, uint64(n.exec)}, Duration{count, uint64(n.output)}})
	}
	m.Executions = whole(executions)
	return m
}

// whole is a number of executions: one that was begun counts, in spite of the errors of sums.
func whole(executions float64) uint64 { return uint64(math.Ceil(executions - 1e-6)) }

// Statistics returns those of a model, or with "" those of all models that were asked for.
func (s *Server) Statistics(name, version string) ([]ModelStatistics, *protocol.Error) {
	if name == "" {
		return s.statistics.all(), nil
	}
	spec, refusal := s.Model(name, version)
	if refusal != nil {
		return nil, refusal
	}
	return []ModelStatistics{s.statistics.one(&spec)}, nil
}

func (s *statistics) all() []ModelStatistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := make([]ModelStatistics, 0, len(s.byModel))
	for _, name := range slices.Sorted(maps.Keys(s.byModel)) {
		list = append(list, s.byModel[name].as(name))
	}
	return list
}

func (s *statistics) one(spec *protocol.ModelSpec) ModelStatistics {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.byModel[spec.Name]
	if c == nil {
		c = &counts{version: VersionOf(spec)}
	}
	return c.as(spec.Name)
}
