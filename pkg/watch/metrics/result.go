package metrics

import (
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"clockwork/pkg/protocol"
)

// results are the metrics of workers' results.
type results struct {
	codes [kinds]*byCode
	took  [kinds]histogram
	gpus  *bounded[gpu, *lanes]
}

type gpu struct {
	worker string
	index  int
}

// lanes are the busy seconds of the parts of a GPU.
type lanes struct{ input, exec, output, transfer prometheus.Counter }

func newResults(m *Metrics) *results {
	t := &results{}
	byResult := m.counters("clockwork_worker_actions_total", "Actions that a worker answered, by their result's code.", "action", "code")
	took := m.durations("clockwork_worker_action_seconds",
		"How long a GPU took for an action that was OK; of an Infer, the execution alone.", workBounds, "action")
	for i := range kinds {
		kind := protocol.Kind(i)
		t.codes[i] = newByCode(func(code string) prometheus.Counter { return byResult.WithLabelValues(kind.String(), code) })
		if kind.OnGPU() || kind == protocol.LoadModelFromDisk {
			t.codes[i].of(place(protocol.OK))
			t.took[i] = took.with(kind.String())
		}
	}
	busy := m.counters("clockwork_worker_lane_busy_seconds_total",
		"For how long a GPU's lane was at work: input and output copies, execution, and transfers of weights.", "worker", "gpu", "lane")
	of := func(worker, index string) *lanes {
		lane := func(name string) prometheus.Counter { return busy.WithLabelValues(worker, index, name) }
		return &lanes{input: lane("input"), exec: lane("exec"), output: lane("output"), transfer: lane("transfer")}
	}
	t.gpus = newBounded(maxGPUs,
		func(g gpu) *lanes { return of(g.worker, strconv.Itoa(g.index)) },
		sync.OnceValue(func() *lanes { return of(other, other) }))
	return t
}

// onResult is a listener for results.
func (t *results) onResult(r *protocol.Result) {
	kind := kindOf(r.Kind)
	t.codes[kind].of(place(r.Code)).Inc()
	if r.Code == protocol.OK && t.took[kind].of != nil {
		took := r.End.Sub(r.Begin)
		if r.Kind == protocol.Infer {
			took = r.Exec.Device
		}
		t.took[kind].Observe(took)
	}
	switch r.Kind {
	case protocol.Infer:
		lanes := t.gpus.of(gpu{r.Worker, r.GPU})
		busy(lanes.input, r.Input)
		busy(lanes.exec, r.Exec)
		busy(lanes.output, r.Output)
	case protocol.LoadWeights, protocol.EvictWeights:
		busy(t.gpus.of(gpu{r.Worker, r.GPU}).transfer, r.Exec)
	}
}

// busy adds the length of a phase; a phase during which the clock was stepped is
// ignored.
func busy(lane prometheus.Counter, p protocol.Phase) {
	if d := p.End.Sub(p.Begin); d > 0 && d < time.Hour {
		lane.Add(d.Seconds())
	}
}
