package protocol

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// LiveStats are what a service publishes about its work once a second while somebody
// watches: the body of clockwork.figures.<service>.<id>, in JSON. Exactly one of the
// parts is set. The window grows from 5 to 10 s and then is 5 s again; it is shorter at
// first, since nothing is counted while nobody watches.
type LiveStats struct {
	At        time.Time       `json:"at"`
	SpanMS    float64         `json:"span_ms"` // the window
	FrontDoor *FrontDoorStats `json:"front_door,omitempty"`
	Scheduler *SchedulerStats `json:"scheduler,omitempty"`
	Worker    *WorkerStats    `json:"worker,omitempty"`
}

// Bounds of one service's lists.
const (
	MaxModelStats = 160
	MaxCopyStats  = 256
	MaxLaneStats  = 256
	MaxGPUStats   = 64
)

// Answers count how requests ended.
type Answers struct {
	// Served in time; Missed: not, by no fault of the client's; Wrong by the client's.
	Served int `json:"served"`
	Missed int `json:"missed"`
	Wrong  int `json:"wrong,omitempty"`
}

// Add adds others.
func (a *Answers) Add(b Answers) {
	a.Served, a.Missed, a.Wrong = a.Served+b.Served, a.Missed+b.Missed, a.Wrong+b.Wrong
}

// Count takes in one that ended so.
func (a *Answers) Count(code Code) {
	switch number := code.Row().Number; {
	case code == OK:
		a.Served++
	case number >= 400 && number < 500 && number != 429:
		a.Wrong++
	default:
		a.Missed++
	}
}

// FrontDoorStats are a front door's.
type FrontDoorStats struct {
	Stage    string `json:"stage"`
	Epoch    uint64 `json:"epoch"` // of the active scheduler, 0 for none
	InFlight int    `json:"in_flight"`
	Models   int    `json:"models"` // loaded
	Answers
	Codes   map[Code]int `json:"codes,omitempty"` // all but OK
	Latency Histogram    `json:"latency"`         // of those served, from arrival to answer
	// Busiest are the models with the most requests, and beside them those with the
	// most misses and cold starts; the rest is summed up in Others.
	Busiest []ModelStats `json:"busiest,omitempty"`
	Others  ModelStats   `json:"others"`
}

// ModelStats are a model's at one front door.
type ModelStats struct {
	Model string `json:"model,omitempty"`
	Answers
	Cold  int   `json:"cold,omitempty"` // starts
	P50US int64 `json:"p50_us,omitempty"`
	P99US int64 `json:"p99_us,omitempty"`
}

// SchedulerStats are a scheduler's; of one that stands by, all is zero.
type SchedulerStats struct {
	Active   bool   `json:"active"`
	Epoch    uint64 `json:"epoch,omitempty"`
	Workers  int    `json:"workers,omitempty"`
	Queued   int    `json:"queued"`
	InFlight int    `json:"in_flight"`
	// How far executions and transfers were from what was predicted, those that took
	// longer and those that took less.
	ExecOver  Histogram `json:"exec_over,omitempty"`
	ExecUnder Histogram `json:"exec_under,omitempty"`
	LoadOver  Histogram `json:"load_over,omitempty"`
	LoadUnder Histogram `json:"load_under,omitempty"`
	// Copies are on how many GPUs the weights of models are, those on the most.
	Copies map[string]int `json:"copies,omitempty"`
	Lanes  []LaneStats    `json:"lanes,omitempty"`
}

// LaneStats are how long a GPU's lanes have work for.
type LaneStats struct {
	Worker string  `json:"worker"`
	GPU    int     `json:"gpu"`
	ExecMS float64 `json:"exec_ms"`
	LoadMS float64 `json:"load_ms"`
}

// WorkerStats are a worker's.
type WorkerStats struct {
	InFlight int        `json:"in_flight"`
	Models   int        `json:"models"` // in host memory
	GPUs     []GPUStats `json:"gpus"`
	Hidden   int        `json:"hidden,omitempty"` // GPUs above MaxGPUFigures
}

// SlicesASecond is how fine the timelines are.
const SlicesASecond = 10

// GPUStats are a GPU's. Exec and Load are by how many percent its lanes were busy in
// each tenth of the last second, the earliest first; what ended less than a tenth ago
// is told with the next.
type GPUStats struct {
	GPU        int    `json:"gpu"`
	Type       string `json:"type"`
	PagesTotal int    `json:"pages_total"`
	PagesUsed  int    `json:"pages_used"`
	Models     int    `json:"models"` // whose weights are there
	Exec       []int  `json:"exec"`
	Load       []int  `json:"load"`
	Batches    int    `json:"batches"` // executed
	Items      int    `json:"items"`   // in them, padding counted
	Failed     int    `json:"failed,omitempty"`
}

// Histogram counts durations in buckets that are a tenth wide, from 1 us to 1 h. In
// JSON it is a list of [bucket, count].
type Histogram []uint32

// buckets: the last holds 1 h and more.
const buckets = 232

var perBucket = math.Log(1.1)

// Add counts a duration.
func (h *Histogram) Add(d time.Duration) {
	at := 0
	if us := float64(d) / 1e3; us > 1 {
		at = min(buckets-1, int(math.Log(us)/perBucket)+1)
	}
	h.add(at, 1)
}

func (h *Histogram) add(bucket int, n uint32) {
	if *h == nil {
		*h = make(Histogram, buckets)
	}
	(*h)[bucket] += n
}

// Merge adds another one's counts.
func (h *Histogram) Merge(other Histogram) {
	for i, n := range other {
		if n > 0 {
			h.add(i, n)
		}
	}
}

// Count is how many durations were counted.
func (h Histogram) Count() (n int) {
	for _, c := range h {
		n += int(c)
	}
	return n
}

// Quantile is the duration below which so great a share of all is, a tenth too long at
// most; 0 of none.
func (h Histogram) Quantile(share float64) time.Duration {
	total := h.Count()
	if total == 0 {
		return 0
	}
	want, seen := int(math.Ceil(share*float64(total))), 0
	for i, n := range h {
		if seen += int(n); n > 0 && seen >= want {
			return time.Duration(1e3 * math.Exp(float64(i)*perBucket))
		}
	}
	return 0
}

// MarshalJSON writes the buckets that are not empty.
func (h Histogram) MarshalJSON() ([]byte, error) {
	pairs := [][2]int64{}
	for i, n := range h {
		if n > 0 {
			pairs = append(pairs, [2]int64{int64(i), int64(n)})
		}
	}
	return json.Marshal(pairs)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (h *Histogram) UnmarshalJSON(body []byte) error {
	var pairs [][2]int64
	if err := json.Unmarshal(body, &pairs); err != nil {
		return err
	}
	*h = nil
	for _, p := range pairs {
		if p[0] < 0 || p[0] >= buckets || p[1] < 0 || p[1] > math.MaxUint32 {
			return fmt.Errorf("read histogram: no bucket %d holds %d", p[0], p[1])
		}
		h.add(int(p[0]), uint32(p[1]))
	}
	return nil
}
