package workload

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// MaxGPUs bounds the GPUs for which a workload makes load.
const MaxGPUs = 4096

// Options are the parameters of the named workloads. A zero field means the
// default in the workload's own comment; a workload ignores fields that its
// comment does not mention.
type Options struct {
	Seed uint64
	// Path is the path of the model, for workloads of one model; default
	// zoo/resnet50_v2.
	Path string
	// Zoo are the paths of the models, for workloads of many models. There is no
	// default: this package knows no models.
	Zoo []string
	// Copies is the number of instances per model.
	Copies int
	// Rate is the total rate of all open loops, in requests per second.
	Rate float64
	// Fixed makes the open loops evenly spaced rather than Poisson.
	Fixed bool
	// Clients is the number of clients per closed loop.
	Clients int
	// Background is the number of additional instances used by closed loops; less
	// than 0 means none.
	Background int
	// SLO is the schedule of the SLO. In a workload that ends with its schedule, the
	// last step is as long as the one before it.
	SLO    Schedule[SLO]
	Length time.Duration
	GPUs   int
	// Trace is replayed instead of a generated trace, with its own counts; Rate and
	// GPUs are then ignored, except by Paper66.
	Trace Trace
}

// named lists the workloads by name, each with a description and the options
// that change it: copies, rate, clients, and models if it has more than one
// model. onProcessor: its networks run on a processor, not on GPUs.
var named = []struct {
	name, about, takes string
	make               func(Options) Workload
	onProcessor        bool
}{
	{"closed", "closed loops alone", "copies clients", ClosedLoops, false},
	{"open", "open loops alone, Poisson arrivals", "copies rate", OpenLoops, false},
	{"poisson", "another name of open: 1 model, 100 r/s in all", "copies rate", OpenLoops, false},
	{"fixed", "the same, evenly spaced", "copies rate", FixedLoops, false},
	{"mix", "a dozen unlike models, 1,000 r/s in all", "copies rate models", Mix, false},
	{"simple", "2 models, 1 closed-loop client each", "copies clients", Simple, false},
	{"spam", "100 models, 100 closed-loop clients each", "copies clients", Spam, false},
	{"single-spam", "1 model, 1,000 closed-loop clients", "copies clients", SingleSpam, false},
	{"fill-memory", "411 models: 1 at 1,000 r/s, 10 at 10 r/s, 400 at 1 r/s", "", FillMemory, false},
	{"slo-exp-1", "4 models, 100 r/s, SLO doubling from 2 to 32 executions", "copies rate", SLOExp1, false},
	{"slo-exp-2", "slo-exp-1 of 2 models, 200 r/s, beside 4 closed loops", "copies rate clients", SLOExp2, false},
	{"comparison", "15 models at 1,000 r/s in all", "copies rate", Comparison, false},
	{"comparison-closed", "15 models, 16 closed-loop clients each", "copies clients", ComparisonClosed, false},
	{"bursty", "1 model at 200 r/s; 1,000 r/s over one more each second", "copies rate", BurstyModels, false},
	{"azure", "a day like Azure Functions', 66 copies of each model", "copies rate models", AzureReplay, false},
	{"paper-6.1", "section 6.1: 15 models, 16 closed-loop clients each", "copies clients", Paper61, false},
	{"paper-6.1-open", "section 6.1, open loops at 1,000 r/s in all", "copies rate", Paper61Open, false},
	{"paper-6.2", "section 6.2: 3,601 models on one GPU", "copies rate", Paper62, false},
	{"paper-6.3", "section 6.3: SLO from 2.9 ms, x1.5 each 30 s", "copies rate", Paper63, false},
	{"paper-6.4", "section 6.4: 6 models with an SLO beside batch clients", "copies rate clients", Paper64, false},
	{"paper-6.5", "section 6.5: 4,026 models, 9,638 r/s, 8 hours", "copies rate models", Paper65, false},
	{"paper-6.6", "section 6.6: 6.5 for so many GPUs, growing each minute", "copies rate models", Paper66, false},
	{"peers-w1", "1 model on a processor, 301 r/s: as much as it serves", "copies rate", PeersW1, true},
	{"peers-w2", "12 models on a processor, 94.6 r/s, popular and rare ones", "rate", PeersW2, true},
	{"peers-w3", "peers-w1 at half the rate, for 5 s at three times of it", "copies rate", PeersW3, true},
	{"peers-w4", "a quick model beside a flood of a slow one", "rate", PeersW4, true},
	{"peers-w5", "3 models on a processor, SLO 25, 100 and 400 ms", "rate", PeersW5, true},
	{"peers-w6", "a day of 12 models on a processor, and a flash crowd", "rate", PeersW6, true},
}

// Names lists the named workloads.
func Names() []string {
	var names []string
	for _, n := range named {
		names = append(names, n.name)
	}
	return names
}

// About returns the description of a named workload.
func About(name string) string {
	for _, n := range named {
		if n.name == name {
			return n.about
		}
	}
	return ""
}

// Takes reports whether an option changes a named workload: "copies", "rate",
// "clients", or "models" for workloads with more than one model.
func Takes(name, option string) bool {
	for _, n := range named {
		if n.name == name {
			return slices.Contains(strings.Fields(n.takes), option)
		}
	}
	return false
}

// OnProcessor reports whether a named workload's networks run on a processor, not on GPUs.
func OnProcessor(name string) bool {
	for _, n := range named {
		if n.name == name {
			return n.onProcessor
		}
	}
	return false
}

// Named returns the workload with this name.
func Named(name string, o Options) (Workload, error) {
	if o.Copies < 0 || o.Clients < 0 || o.GPUs < 0 || o.Length < 0 || !between(0, MaxRate)(o.Rate) {
		return Workload{}, fmt.Errorf("workload %s: %d copies, %d clients, %d GPUs, length %v, %v r/s: none may be negative", name, o.Copies, o.Clients, o.GPUs, o.Length, o.Rate)
	}
	if o.Copies > protocol.MaxCopies || o.GPUs > MaxGPUs {
		return Workload{}, fmt.Errorf("workload %s: %d copies and %d GPUs: at most %d and %d", name, o.Copies, o.GPUs, protocol.MaxCopies, MaxGPUs)
	}
	for _, n := range named {
		if n.name == name {
			w := n.make(o)
			w.Name = name
			return w, w.Validate()
		}
	}
	return Workload{}, fmt.Errorf("there is no workload %q: expected one of %s", name, strings.Join(Names(), ", "))
}

// ClosedLoops is Copies (1) models with Clients (1) each.
func ClosedLoops(o Options) Workload { return closedLoops(o, 1, 1) }

// OpenLoops is Copies (1) models that share Rate (100 r/s).
func OpenLoops(o Options) Workload { return openLoops(o, 1, 100) }

// FixedLoops is OpenLoops with evenly spaced arrivals.
func FixedLoops(o Options) Workload {
	o.Fixed = true
	return OpenLoops(o)
}

// Mix is Copies (1) of each model of Zoo, which share Rate (1,000 r/s) evenly,
// regardless of their execution times.
func Mix(o Options) Workload {
	w := Workload{Seed: o.Seed, Length: o.Length}
	copies := cmp.Or(o.Copies, 1)
	for _, p := range o.Zoo {
		w.Loads = append(w.Loads, load(p, copies))
	}
	o.SLO = o.slo(paperSLO)
	w.open(o, copies*len(o.Zoo), cmp.Or(o.Rate, 1000))
	return w
}

func closedLoops(o Options, copies, clients int) Workload {
	copies = cmp.Or(o.Copies, copies)
	w := o.alike(copies)
	w.closed(0, copies, cmp.Or(o.Clients, clients), 0, o.SLO)
	return w
}

func openLoops(o Options, copies int, rate float64) Workload {
	copies = cmp.Or(o.Copies, copies)
	w := o.alike(copies)
	w.open(o, copies, cmp.Or(o.Rate, rate))
	return w
}

// alike returns a workload of this number of copies of one model, without
// streams.
func (o Options) alike(copies int) Workload {
	p := cmp.Or(o.Path, "zoo/resnet50_v2")
	return Workload{Seed: o.Seed, Length: o.Length, Loads: []Load{load(p, copies)}}
}

// load returns a Load with the default name of protocol.LoadRequest.
func load(p string, copies int) Load {
	return Load{Path: p, Name: protocol.NameOfPath(p), Copies: copies}
}

// open adds an open loop for each of the first copies, which share the rate.
func (w *Workload) open(o Options, copies int, rate float64) {
	each := Always(rate / float64(max(copies, 1)))
	var process Process = Poisson{each}
	if o.Fixed {
		process = Fixed{each}
	}
	for i := range copies {
		w.add(Stream{Model: i, Process: process, SLO: o.SLO})
	}
}

// closed adds a closed loop for each of the instances from first on.
func (w *Workload) closed(first, copies, clients int, ramp time.Duration, slo Schedule[SLO]) {
	for i := range copies {
		w.add(Stream{Model: first + i, Process: Closed{Clients: clients, Ramp: ramp}, SLO: slo})
	}
}

// add appends a stream, with its index as seed.
func (w *Workload) add(s Stream) {
	s.Seed = uint64(len(w.Streams))
	w.Streams = append(w.Streams, s)
}

// span returns the length of a schedule; the last step counts as long as the one
// before.
func span[T any](s Schedule[T]) time.Duration {
	n := len(s)
	if n < 2 {
		return 0
	}
	return s[n-1].From + s[n-1].From - s[n-2].From
}

// slo returns the requested schedule, or own if there is none.
func (o Options) slo(own Schedule[SLO]) Schedule[SLO] {
	if o.SLO != nil {
		return o.SLO
	}
	return own
}
