package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// actions are the metrics of the scheduler's actions and steps.
type actions struct {
	codes  [kinds]*byCode
	silent [kinds]prometheus.Counter

	// duration and completion are prediction errors.
	duration, completion [kinds]signed
	batch                prometheus.Observer
	items                prometheus.Counter
	step                 histogram
}

// kinds is the number of action kinds, including 0 for an unknown kind.
const kinds = int(protocol.Renew) + 1

// kindOf returns the array index of a kind.
func kindOf(k protocol.Kind) int {
	if int(k) < kinds {
		return int(k)
	}
	return 0
}

// signed is a pair of histograms: native histograms do not suit negative values, and
// early and late need separate views.
type signed struct{ over, under histogram }

// observe counts by how much longer or shorter than predicted the work took.
func (s signed) observe(predicted, was time.Duration) {
	if by, over := protocol.Deviation(predicted, was); over {
		s.over.Observe(by)
	} else {
		s.under.Observe(by)
	}
}

func newSigned(f family, kind protocol.Kind) signed {
	return signed{over: f.with(kind.String(), "over"), under: f.with(kind.String(), "under")}
}

func newActions(m *Metrics) *actions {
	a := &actions{
		items: m.counter("clockwork_batch_items_total", "Items in batches that were run; the rest of their sizes was padding."),
		step:  m.durations("clockwork_scheduler_step_seconds", "How long the scheduler's core took for an event.", stepBounds).with(),
	}
	batch := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "clockwork_batch_size", Help: "Sizes of batches that were run.",
		Buckets: []float64{1, 2, 4, 8, 16, 32, 64, 128}, NativeHistogramBucketFactor: 1.1, NativeHistogramMaxBucketNumber: 100,
	})
	m.registry.MustRegister(batch)
	a.batch = batch
	byResult := m.counters("clockwork_scheduler_actions_total",
		"Actions that the scheduler sent, by their result's code; NO_RESULT if none came.", "action", "code")
	duration := m.durations("clockwork_scheduler_duration_error_seconds",
		"By how much an action took longer (over) or shorter (under) than predicted.", errorBounds, "action", "prediction")
	completion := m.durations("clockwork_scheduler_completion_error_seconds",
		"By how much an action ended later (over) or earlier (under) than planned.", errorBounds, "action", "prediction")
	for i := range kinds {
		kind := protocol.Kind(i)
		a.codes[i] = newByCode(func(code string) prometheus.Counter { return byResult.WithLabelValues(kind.String(), code) })
		if kind == protocol.Infer || kind == protocol.LoadWeights {
			a.duration[i], a.completion[i] = newSigned(duration, kind), newSigned(completion, kind)
		}
		if kind.OnGPU() { // the scheduler sends no others
			a.codes[i].of(place(protocol.OK))
			a.silent[i] = byResult.WithLabelValues(kind.String(), noResult)
		}
	}
	return a
}

// onAction is a listener for actions.
func (a *actions) onAction(t *watch.Action) {
	kind := kindOf(t.Kind)
	if t.Result == nil {
		if t.Kind.OnGPU() {
			a.silent[kind].Inc()
		}
		return
	}
	a.codes[kind].of(place(t.Result.Code)).Inc()
	_, late, known := t.Completed()
	if !known {
		return
	}
	if t.Kind == protocol.Infer {
		a.batch.Observe(float64(t.Batch))
		a.items.Add(float64(items(t.Requests)))
	}
	if a.duration[kind].over.of != nil {
		a.duration[kind].observe(t.Expected, t.Took())
		a.completion[kind].observe(0, late)
	}
}

func items(members []protocol.RequestRef) (n int) {
	for i := range members {
		n += members[i].Batch
	}
	return n
}
