package workload

import (
	"errors"
	"fmt"
	"time"

	"clockwork/pkg/protocol"
)

// These bound a workload.
const (
	MaxStreams = 1 << 20
	MaxBatch   = 1024
	// MaxLeaves bounds the sum of open loops and clients of closed loops.
	MaxLeaves = 1 << 22
)

// Workload is data: the models that must be loaded, and the streams of requests
// for them. All offsets count from its start.
type Workload struct {
	Name string
	// Seed is the seed of everything random in it.
	Seed uint64
	// Length ends it: no request is due at or after it. 0: it lasts until its
	// streams end.
	Length  time.Duration
	Loads   []Load
	Streams []Stream
}

// Load is a number of copies of one model, as protocol.LoadRequest loads them.
type Load struct {
	// Path is the model's path, such as zoo/resnet50_v2.
	Path string
	// Name is the base of the names of its instances, which are
	// protocol.CopyNames(Name, Copies). No two loads share a Name.
	Name   string
	Copies int
}

// Instance is one copy of a model.
type Instance struct{ Name, Path string }

// Stream is one source of requests. Its schedules and its process count from
// Start.
type Stream struct {
	// Seed, together with the workload's, is the seed of the stream: streams with
	// the same seeds draw the same. It is independent of the stream's index, so that
	// removing one stream changes no other.
	Seed uint64
	// Model is the index of an instance, Workload.Instances()[Model]. If Spread is
	// more than 1, each request goes to one of that many instances from Model on,
	// uniformly at random.
	Model   int
	Spread  Schedule[int]
	Process Process
	SLO     Schedule[SLO]
	// Batch is the number of items per request; 0 means 1.
	Batch int
	// No request is due before Start, nor at or after Stop; 0: no such limit.
	Start, Stop time.Duration
}

// Instances lists the copies of all models in the order of the indexes
// Stream.Model and Arrival.Model.
func (w Workload) Instances() []Instance {
	var all []Instance
	for _, l := range w.Loads {
		for _, name := range protocol.CopyNames(l.Name, max(l.Copies, 0)) {
			all = append(all, Instance{name, l.Path})
		}
	}
	return all
}

// Validate returns an error that says what is wrong with w, nil if nothing is.
func (w Workload) Validate() error {
	if w.Length < 0 || len(w.Streams) == 0 || len(w.Streams) > MaxStreams {
		return fmt.Errorf("workload %s: length %v, %d streams: 1 to %d streams are needed", w.Name, w.Length, len(w.Streams), MaxStreams)
	}
	for _, l := range w.Loads {
		if l.Copies < 1 || l.Copies > protocol.MaxCopies {
			return fmt.Errorf("workload %s: %d copies of %s: 1 to %d", w.Name, l.Copies, l.Path, protocol.MaxCopies)
		}
	}
	instances := w.Instances()
	if err := validNames(instances); err != nil {
		return fmt.Errorf("workload %s: %w", w.Name, err)
	}
	leaves := 0
	for i, s := range w.Streams {
		if err := s.validate(instances); err != nil {
			return fmt.Errorf("workload %s: stream %d: %w", w.Name, i, err)
		}
		if leaves += s.leaves(); leaves > MaxLeaves {
			return fmt.Errorf("workload %s: more than %d open loops and clients", w.Name, MaxLeaves)
		}
	}
	return nil
}

func validNames(instances []Instance) error {
	seen := make(map[string]bool, len(instances))
	for _, in := range instances {
		if !protocol.ValidName(in.Name) {
			return fmt.Errorf("%.80q is no model name", in.Name)
		}
		if seen[in.Name] {
			return fmt.Errorf("two instances are called %s", in.Name)
		}
		seen[in.Name] = true
	}
	return nil
}

func (s Stream) validate(instances []Instance) error {
	if s.Process == nil {
		return errors.New("it has no process")
	}
	if s.Start < 0 || s.Stop < 0 || s.Batch < 0 || s.Batch > MaxBatch {
		return fmt.Errorf("start %v, stop %v, batch %d: 0 or more are needed, a batch of at most %d", s.Start, s.Stop, s.Batch, MaxBatch)
	}
	if err := s.Process.validate(); err != nil {
		return err
	}
	if err := s.SLO.ordered("SLO", validSLO); err != nil {
		return err
	}
	return s.validModels(instances)
}

// validModels checks the instances. A spread must stay within copies of one
// model, because an SLO factor would have different meanings for other models.
func (s Stream) validModels(instances []Instance) error {
	last := s.Model
	for _, step := range s.Spread {
		last = max(last, s.Model+step.Value-1)
	}
	if s.Model < 0 || last >= len(instances) || last < s.Model {
		return fmt.Errorf("it sends to the instances %d to %d of %d", s.Model, last, len(instances))
	}
	if len(s.Spread) > 0 && instances[s.Model].Path != instances[last].Path {
		return fmt.Errorf("it is spread over %s and %s", instances[s.Model].Path, instances[last].Path)
	}
	return s.Spread.ordered("spread", func(n int) bool { return n >= 0 && n <= len(instances) })
}
