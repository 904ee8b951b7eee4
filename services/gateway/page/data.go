package page

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/services/frontdoor"
	"clockwork/services/gateway/oip"
)

// The most models of a list, and of those with figures of their own.
const (
	maxModels  = 60
	maxBusiest = 20
)

// keptFor is for how long the names of all models are kept: a stack may have tens of
// thousands, and whoever reads them keeps requests from being admitted meanwhile.
const keptFor = 2 * time.Second

// Data answers what the page asks. Any goroutine may use it.
type Data struct {
	oip *oip.Server

	mu    sync.Mutex
	names []string // sorted
	read  time.Time
}

// NewData returns the data of a gateway's page.
func NewData(of *oip.Server) *Data { return &Data{oip: of} }

// Models are the models that a search finds, the first of them.
type Models struct {
	// Total is how many there are, Found how many of them the search finds.
	Total  int     `json:"total"`
	Found  int     `json:"found"`
	Models []Model `json:"models"`
}

// Model is what the page shows of a model. Shapes are of one item.
type Model struct {
	Name    string                `json:"name"`
	Version string                `json:"version"`
	Batch   int                   `json:"max_batch"`
	NoBatch bool                  `json:"no_batch,omitempty"`
	Mixes   bool                  `json:"mixes_batch,omitempty"`
	Inputs  []protocol.TensorSpec `json:"inputs"`
	Outputs []protocol.TensorSpec `json:"outputs"`
	Notes   []string              `json:"notes,omitempty"`
}

// Search returns the models whose names contain a text, by name. The error says why there is
// no front door.
func (d *Data) Search(text string, now time.Time) (Models, *protocol.Error) {
	names, absent := d.allNames(now)
	if absent != nil {
		return Models{}, absent
	}
	list := Models{Total: len(names), Models: []Model{}}
	for _, name := range names {
		if !strings.Contains(name, strings.ToLower(text)) {
			continue
		}
		if list.Found++; len(list.Models) >= maxModels {
			continue
		}
		if m, refusal := d.oip.Model(name, ""); refusal == nil {
			list.Models = append(list.Models, Model{m.Name, oip.VersionOf(&m), m.MaxBatch(), m.NoBatch, m.Mixes, m.Inputs, m.Outputs, m.Notes})
		}
	}
	return list, nil
}

// allNames returns the names of all models, which may be those of a moment ago.
func (d *Data) allNames(now time.Time) ([]string, *protocol.Error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if age := now.Sub(d.read); age >= 0 && age < keptFor {
		return d.names, nil
	}
	names, absent := d.oip.ModelNames()
	if absent != nil {
		return nil, absent
	}
	d.names, d.read = names, now
	return names, nil
}

// Live are the figures of a gateway's last seconds.
type Live struct {
	Ready    bool    `json:"ready"`
	Why      string  `json:"why,omitempty"` // it is not ready
	Version  string  `json:"version"`
	Stage    string  `json:"stage,omitempty"`
	Models   int     `json:"models"`
	GPUs     int     `json:"gpus"`
	InFlight int     `json:"in_flight"`
	SpanMS   float64 `json:"span_ms"` // of the figures below
	protocol.Answers
	P50US   int64                 `json:"p50_us"`
	P99US   int64                 `json:"p99_us"`
	Codes   map[protocol.Code]int `json:"codes,omitempty"`
	Busiest []protocol.ModelStats `json:"busiest,omitempty"`
}

// Live returns the figures.
func (d *Data) Live(now time.Time) Live {
	why := d.oip.Unready("")
	live := Live{Ready: why == "", Why: why, Version: d.oip.Metadata().Version}
	_ = d.oip.Behind(func(door *frontdoor.FrontDoor) { // without one, Why says so
		stats := door.Live(now)
		f := stats.FrontDoor
		live.Stage, live.Models, live.InFlight, live.GPUs = f.Stage, f.Models, f.InFlight, door.Capacity().GPUs
		live.SpanMS, live.Answers, live.Codes = stats.SpanMS, f.Answers, f.Codes
		live.P50US, live.P99US = f.Latency.Quantile(0.5).Microseconds(), f.Latency.Quantile(0.99).Microseconds()
		live.Busiest = busiest(f.Busiest)
	})
	return live
}

// busiest returns the models with the most requests, the most first.
func busiest(list []protocol.ModelStats) []protocol.ModelStats {
	all := func(m protocol.ModelStats) int { return m.Served + m.Missed + m.Wrong }
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b protocol.ModelStats) int {
		return cmp.Or(cmp.Compare(all(b), all(a)), cmp.Compare(a.Model, b.Model))
	})
	return list[:min(len(list), maxBusiest)]
}
