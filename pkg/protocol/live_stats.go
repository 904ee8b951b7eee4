package protocol

import (
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// LiveStats are the statistics that a service publishes once a second while a client
// watches: the body of clockwork.figures.<service>.<id>, in JSON. Exactly one of the
// parts is set. The window grows from 5 to 10 s and then is 5 s again; it is shorter at
// first, since nothing is counted while no client watches.
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
	MaxCopyStats  = 160
	MaxLaneStats  = 160
	MaxGPUStats   = 64
)

// Answers count how requests ended.
type Answers struct {
	// Served: in time. Missed: not in time, through no fault of the client. Wrong: the
	// client's mistake.
	Served int `json:"served"`
	Missed int `json:"missed"`
	Wrong  int `json:"wrong,omitempty"`
}

// Add adds the counts of b.
func (a *Answers) Add(b Answers) {
	a.Served, a.Missed, a.Wrong = a.Served+b.Served, a.Missed+b.Missed, a.Wrong+b.Wrong
}

// Count counts an answer by its code.
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

// FrontDoorStats are the statistics of a front door.
type FrontDoorStats struct {
	Stage    string `json:"stage"`
	Epoch    uint64 `json:"epoch"` // of the active scheduler, 0 for none
	InFlight int    `json:"in_flight"`
	Models   int    `json:"models"` // loaded
	Answers
	Codes   map[Code]int `json:"codes,omitempty"` // all but OK
	Latency Histogram    `json:"latency"`         // of those served, from arrival to answer
	// Busiest are the models with the most requests, with the most misses and with the
	// most cold starts; the rest is summed up in Others.
	Busiest []ModelStats `json:"busiest,omitempty"`
	Others  ModelStats   `json:"others"`
}

// ModelStats are the statistics of a model at one front door.
type ModelStats struct {
	Model string `json:"model,omitempty"`
	Answers
	Cold  int   `json:"cold,omitempty"` // starts
	P50US int64 `json:"p50_us,omitempty"`
	P99US int64 `json:"p99_us,omitempty"`
}

// SchedulerStats are the statistics of a scheduler; on a standby all are zero.
type SchedulerStats struct {
	Active   bool   `json:"active"`
	Epoch    uint64 `json:"epoch,omitempty"`
	Workers  int    `json:"workers,omitempty"`
	Lacking  int    `json:"lacking,omitempty"` // models that workers do not serve, summed over workers
	Queued   int    `json:"queued"`
	InFlight int    `json:"in_flight"`
	// Prediction errors of executions and transfers: over for those that took longer,
	// under for those that took less.
	ExecOver  Histogram `json:"exec_over,omitempty"`
	ExecUnder Histogram `json:"exec_under,omitempty"`
	LoadOver  Histogram `json:"load_over,omitempty"`
	LoadUnder Histogram `json:"load_under,omitempty"`
	// Copies is on how many GPUs a model's weights are, for the models with the most
	// copies.
	Copies map[string]int `json:"copies,omitempty"`
	Lanes  []LaneStats    `json:"lanes,omitempty"`
}

// LaneStats is for how long a GPU's lanes have work.
type LaneStats struct {
	Worker string  `json:"worker"`
	GPU    int     `json:"gpu"`
	ExecMS float64 `json:"exec_ms"`
	LoadMS float64 `json:"load_ms"`
}

// WorkerStats are the statistics of a worker.
type WorkerStats struct {
	InFlight int        `json:"in_flight"`
	Models   int        `json:"models"` // in host memory
	GPUs     []GPUStats `json:"gpus"`
	Hidden   int        `json:"hidden,omitempty"` // GPUs above MaxGPUStats
}

// SlicesASecond is the resolution of the timelines.
const SlicesASecond = 10

// GPUStats are the statistics of a GPU. Exec and Load are the lanes' utilisation in
// percent in each tenth of the last second, the earliest first; work that ended less
// than a tenth of a second ago is included the next time.
type GPUStats struct {
	GPU        int    `json:"gpu"`
	Type       string `json:"type"`
	PagesTotal int    `json:"pages_total"`
	PagesUsed  int    `json:"pages_used"`
	Models     int    `json:"models"` // with weights on the GPU
	Exec       []int  `json:"exec"`
	Load       []int  `json:"load"`
	Batches    int    `json:"batches"` // executed
	Items      int    `json:"items"`   // in them, padding counted
	Failed     int    `json:"failed,omitempty"`
	Stalled    string `json:"stalled,omitempty"` // why it gets nothing done
}

// Histogram counts durations in buckets of a width of 10 %, from 1 us to 1 h. In JSON it
// is a list of [bucket, count].
type Histogram []uint32

// buckets is the number of buckets; the last holds 1 h and more.
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

// Merge adds another histogram's counts.
func (h *Histogram) Merge(other Histogram) {
	for i, n := range other {
		if n > 0 {
			h.add(i, n)
		}
	}
}

// Count returns how many durations were counted.
func (h Histogram) Count() (n int) {
	for _, c := range h {
		n += int(c)
	}
	return n
}

// Quantile returns the duration that the given share does not exceed, at most a tenth
// too long; 0 if the histogram is empty.
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
