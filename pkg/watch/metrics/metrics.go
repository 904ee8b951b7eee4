package metrics

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Config is the settings of the metrics.
type Config struct {
	// Models is how many models have series of their own; later ones are counted
	// together. Each model has up to 9 series in each front door.
	Models int
}

// MaxModels is the largest Config.Models.
const MaxModels = 10_000

// Validate returns an error that says what is wrong with the Config.
func (c Config) Validate() error {
	if c.Models < 0 || c.Models > MaxModels {
		return fmt.Errorf("models is %d; it must be from 0 to %d", c.Models, MaxModels)
	}
	return nil
}

// Bounds of the other labels; not configurable.
const (
	maxTenants = 100
	maxGPUs    = 1024
)

// Metrics are the metrics of one process.
type Metrics struct {
	registry *prometheus.Registry
	reader   *reader
}

// New returns metrics that follow a hub. Call it before the services start.
func New(hub *watch.Hub, config Config) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), reader: &reader{hub: hub, within: readWait}}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build(),
		&gaugeCollector{reader: m.reader},
	)
	hub.OnRequest(newRequests(m, config.Models).onRequest)
	a := newActions(m)
	hub.OnAction(a.onAction)
	hub.OnStep(a.step.Observe)
	hub.OnResult(newResults(m).onResult)
	return m
}

// build returns a metric that names the build, as far as the binary knows.
func build() prometheus.Collector {
	version, revision, goVersion := "unknown", "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = s.Value
			}
		}
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "clockwork_build_info",
		Help:        "Always 1; the labels say which build this is.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "go_version": goVersion},
	}, func() float64 { return 1 })
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) durations(name, help string, bounds []time.Duration, labels ...string) family {
	f := newFamily(name, help, bounds, labels...)
	m.registry.MustRegister(f)
	return f
}

// byCode is one counter per code, created when the code first occurs.
type byCode struct {
	make func(code string) prometheus.Counter
	at   []atomic.Pointer[prometheus.Counter]
}

func newByCode(make func(code string) prometheus.Counter) *byCode {
	return &byCode{make: make, at: makePlaces()}
}

func makePlaces() []atomic.Pointer[prometheus.Counter] {
	return make([]atomic.Pointer[prometheus.Counter], len(protocol.Codes))
}

// of returns the counter of a code's place.
func (b *byCode) of(place int) prometheus.Counter {
	if c := b.at[place].Load(); c != nil {
		return *c
	}
	c := b.make(string(protocol.Codes[place].Code)) // concurrent callers get the same counter
	b.at[place].Store(&c)
	return c
}

// Bounds of classic buckets: for latencies that a client sees, for the work within them,
// for prediction errors, and for the scheduler's steps.
var (
	latencyBounds = []time.Duration{1 * ms, 2500 * us, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 75 * ms, 100 * ms, 150 * ms, 250 * ms, 500 * ms,
		1 * s, 2500 * ms, 5 * s, 10 * s}
	workBounds = []time.Duration{50 * us, 100 * us, 250 * us, 500 * us, 1 * ms, 2500 * us, 5 * ms, 10 * ms, 25 * ms, 50 * ms, 100 * ms,
		250 * ms, 1 * s}
	errorBounds = []time.Duration{10 * us, 25 * us, 50 * us, 100 * us, 250 * us, 500 * us, 1 * ms, 2500 * us, 5 * ms, 10 * ms, 25 * ms,
		100 * ms, 1 * s}
	stepBounds = []time.Duration{1 * us, 2500 * ns, 5 * us, 10 * us, 25 * us, 50 * us, 100 * us, 250 * us, 1 * ms, 10 * ms, 100 * ms}
)

const (
	ns = time.Nanosecond
	us = time.Microsecond
	ms = time.Millisecond
	s  = time.Second
)
