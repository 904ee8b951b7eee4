package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// requests are the metrics of a front door's requests.
type requests struct {
	codes    *byCode
	outcomes []outcome // by the places of the codes

	latency         [outcomes]histogram
	slack, lateness histogram
	buffered        histogram
	parts           [parts]histogram
	items, bytes    prometheus.Counter
	cold            [outcomes]prometheus.Counter

	models  *bounded[string, *model]
	tenants *bounded[string, *counts]
}

// counts is one counter for each outcome.
type counts [outcomes]prometheus.Counter

// model is the metrics of one model.
type model struct {
	requests *counts
	latency  histogram
	cold     prometheus.Counter
}

// Parts of an answered request's latency: until the scheduler's decision, in the
// worker's queue, the three phases at the worker, and the rest, which is network delay
// and the front door's own work.
const (
	decision = iota
	queue
	input
	execution
	output
	rest
	parts
)

var partNames = [parts]string{"decision", "queue", "input", "exec", "output", "other"}

func newRequests(m *Metrics, models int) *requests {
	q := &requests{
		slack: m.durations("clockwork_request_slack_seconds",
			"How long before its deadline a request was answered OK.", latencyBounds).with(),
		lateness: m.durations("clockwork_request_lateness_seconds",
			"How long after its deadline a request was answered, with whatever code.", latencyBounds).with(),
		buffered: m.durations("clockwork_request_buffered_seconds",
			"How long a request waited for activation, if it did.", latencyBounds).with(),
		items: m.counter("clockwork_request_items_total", "Items of requests that a worker ran."),
		bytes: m.counter("clockwork_request_input_bytes_total", "Bytes of inputs that came with requests."),
	}
	q.countCodes(m)
	latency := m.durations("clockwork_request_latency_seconds",
		"From the arrival of a request at its front door to the answer, without the wait for activation.", latencyBounds, "outcome")
	cold := m.counters("clockwork_cold_starts_total", "Requests whose model had to be loaded on a GPU first.", "outcome")
	for o := range outcome(outcomes) {
		q.latency[o] = latency.with(o.String())
		q.cold[o] = cold.WithLabelValues(o.String())
	}
	part := m.durations("clockwork_request_part_seconds", "Parts of the latency of requests that a worker ran and that were answered OK.", workBounds, "part")
	for i, name := range partNames {
		q.parts[i] = part.with(name)
	}
	q.models = modelsOf(m, models)
	q.tenants = tenantsOf(m)
	return q
}

func (q *requests) countCodes(m *Metrics) {
	byOutcome := m.counters("clockwork_requests_total", "Requests that were answered, by what became of them and why.", "outcome", "code")
	q.codes = newByCode(func(code string) prometheus.Counter {
		return byOutcome.WithLabelValues(meaning(protocol.Code(code).Row()).String(), code)
	})
	for i, row := range protocol.Codes {
		q.outcomes = append(q.outcomes, meaning(row))
		if row.Audience&protocol.ForClients != 0 {
			q.codes.of(i) // start at 0, so that the first occurrence shows as a rise
		}
	}
}

func modelsOf(m *Metrics, most int) *bounded[string, *model] {
	requests := m.counters("clockwork_model_requests_total", "Requests of a model that were answered, by what became of them.", "model", "outcome")
	latency := m.durations("clockwork_model_latency_seconds", "Latency of a model's requests that were answered OK.", nil, "model")
	cold := m.counters("clockwork_model_cold_starts_total", "Requests of a model that had to be loaded on a GPU first.", "model")
	of := func(name string) *model {
		return &model{requests: countsOf(requests, name), latency: latency.with(name), cold: cold.WithLabelValues(name)}
	}
	return newNamed(most, of)
}

func tenantsOf(m *Metrics) *bounded[string, *counts] {
	requests := m.counters("clockwork_tenant_requests_total", "Requests of a client with a name that were answered, by what became of them.", "tenant", "outcome")
	return newNamed(maxTenants, func(name string) *counts { return countsOf(requests, name) })
}

func countsOf(vec *prometheus.CounterVec, name string) *counts {
	c := &counts{}
	for o := range outcome(outcomes) {
		c[o] = vec.WithLabelValues(name, o.String())
	}
	return c
}

// onRequest is a listener for requests.
func (q *requests) onRequest(r *watch.Request) {
	code := place(r.Code)
	o := q.outcomes[code]
	latency := r.Latency()
	q.codes.of(code).Inc()
	q.latency[o].Observe(latency)
	q.bytes.Add(float64(r.Bytes))
	if r.Buffered > 0 {
		q.buffered.Observe(r.Buffered)
	}
	if r.Cold {
		q.cold[o].Inc()
	}
	if r.SLO > 0 {
		q.slackOf(o, r.SLO-latency)
	}
	if r.Batch > 0 {
		q.ran(r, latency)
	}
	if r.Model != "" {
		q.models.of(r.Model).onRequest(o, latency, r.Cold)
	}
	if r.Tenant != "" {
		q.tenants.of(r.Tenant)[o].Inc()
	}
}

func (q *requests) slackOf(o outcome, left time.Duration) {
	switch {
	case left < 0:
		q.lateness.Observe(-left)
	case o == answered:
		q.slack.Observe(left)
	}
}

// ran splits the latency of a request that a worker ran into parts. A request with a
// generated input may be answered before its dispatch arrives.
func (q *requests) ran(r *watch.Request, latency time.Duration) {
	q.items.Add(float64(r.Items))
	decided := time.Duration(0)
	if !r.Dispatched.IsZero() {
		decided = r.Dispatched.Sub(r.Arrived)
		q.parts[decision].Observe(decided)
	}
	q.parts[queue].Observe(r.Queue)
	q.parts[input].Observe(r.Input)
	q.parts[execution].Observe(r.Exec)
	q.parts[output].Observe(r.Output)
	q.parts[rest].Observe(latency - decided - r.Queue - r.Input - r.Exec - r.Output)
}

func (m *model) onRequest(o outcome, latency time.Duration, cold bool) {
	m.requests[o].Inc()
	if o == answered {
		m.latency.Observe(latency)
	}
	if cold {
		m.cold.Inc()
	}
}
