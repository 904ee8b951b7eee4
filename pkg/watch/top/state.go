package top

import (
	"time"

	"clockwork/pkg/protocol"
)

// Bounds of what is kept.
const (
	maxServices = 4096
	maxMisses   = 256
	// history is how many slices of a timeline are kept; rates are kept for as many
	// seconds as a wide terminal has columns.
	history = 120 * protocol.SlicesASecond
	maxRate = 240
	// silent is how long a service may publish nothing before it counts as gone.
	silent = 3500 * time.Millisecond
)

// State is what is known of a stack. Its zero value is empty.
type State struct {
	doors      map[string]*lastStats[protocol.FrontDoorStats]
	schedulers map[string]*lastStats[protocol.SchedulerStats]
	workers    map[string]*lastStats[protocol.WorkerStats]
	timelines  map[gpuKey]*timelines
	rates      []float64 // one per second
	misses     []protocol.Event
	news       string // startup progress
	broker     string // why the broker cannot be reached, "" if it can
	since      time.Time
	began      time.Time
}

// lastStats is the statistics that a service published last.
type lastStats[T any] struct {
	stats T
	span  time.Duration
	heard time.Time
}

type gpuKey struct {
	worker string
	gpu    int
}

type timelines struct{ exec, load []int }

// Empty reports whether no service has published anything.
func (s *State) Empty() bool { return len(s.doors)+len(s.schedulers)+len(s.workers) == 0 }

// OnLiveStats records statistics that a service published.
func (s *State) OnLiveStats(kind protocol.ServiceKind, id string, f protocol.LiveStats, now time.Time) {
	s.begin(now)
	span := time.Duration(f.SpanMS * 1e6)
	if span <= 0 {
		return
	}
	switch {
	case kind == protocol.FrontDoor && f.FrontDoor != nil:
		hear(s.doors, id, *f.FrontDoor, span, now)
	case kind == protocol.Scheduler && f.Scheduler != nil:
		hear(s.schedulers, id, *f.Scheduler, span, now)
	case kind == protocol.Worker && f.Worker != nil:
		if hear(s.workers, id, *f.Worker, span, now) {
			s.draw(id, f.Worker.GPUs)
		}
	}
}

func hear[T any](of map[string]*lastStats[T], id string, f T, span time.Duration, now time.Time) bool {
	if of[id] == nil && len(of) >= maxServices {
		return false
	}
	of[id] = &lastStats[T]{f, span, now}
	return true
}

// draw appends to a worker's timelines.
func (s *State) draw(worker string, gpus []protocol.GPUStats) {
	for _, g := range gpus[:min(len(gpus), protocol.MaxGPUStats)] {
		key := gpuKey{worker, g.GPU}
		of := s.timelines[key]
		if of == nil {
			of = &timelines{}
			s.timelines[key] = of
		}
		of.exec, of.load = longer(of.exec, g.Exec), longer(of.load, g.Load)
	}
}

func longer(line, by []int) []int {
	line = append(line, by[:min(len(by), protocol.SlicesASecond)]...)
	return line[max(0, len(line)-history):]
}

func (s *State) begin(now time.Time) {
	if s.doors == nil {
		s.doors, s.schedulers = map[string]*lastStats[protocol.FrontDoorStats]{}, map[string]*lastStats[protocol.SchedulerStats]{}
		s.workers, s.timelines = map[string]*lastStats[protocol.WorkerStats]{}, map[gpuKey]*timelines{}
		s.began = now
	}
}

// Event records an event of the stack.
func (s *State) Event(e protocol.Event, now time.Time) {
	s.begin(now)
	switch e.Kind {
	case protocol.EventMiss:
		s.misses = append(s.misses, e)
		s.misses = s.misses[max(0, len(s.misses)-maxMisses):]
	case protocol.EventStage:
		s.news = ""
	case protocol.EventCountdown:
		s.news = ""
		if e.LeftMS > 0 {
			s.news = "loading closes at " + e.At.Add(time.Duration(e.LeftMS*1e6)).Local().Format("15:04:05")
		}
	case protocol.EventProfile:
		s.news = "profiling " + count(e.Done, e.Total)
	case protocol.EventLoad:
		s.news = "loaded " + e.Model
	case protocol.EventWorkerWaits:
		s.news = "worker " + e.Worker + " is not used yet"
	case protocol.EventBlocked:
		s.news = ""
		if e.Message != "" {
			s.news = e.Stage + " waits: " + e.Message
		}
	case protocol.EventWorkerLost:
		s.news = "worker " + e.Worker + " is gone"
	}
}

// Broker records that the connection to the broker is lost, and why, or with "" that it
// is restored.
func (s *State) Broker(lost string, now time.Time) {
	s.begin(now)
	if (s.broker == "") != (lost == "") {
		s.since = now
	}
	s.broker = lost
}

// Tick, called once a second, removes services that have stopped publishing. While the
// broker cannot be reached it removes none.
func (s *State) Tick(now time.Time) {
	s.begin(now)
	if s.broker != "" {
		return
	}
	late := now.Add(-silent)
	if now.Sub(s.since) < silent {
		late = now.Add(-silent - silent) // services may not have been able to publish yet
	}
	forget(s.doors, late)
	forget(s.schedulers, late)
	forget(s.workers, late)
	for key := range s.timelines {
		if s.workers[key.worker] == nil {
			delete(s.timelines, key)
		}
	}
	s.rates = append(s.rates, s.Summary(now).RatePerS)
	s.rates = s.rates[max(0, len(s.rates)-maxRate):]
}

func forget[T any](of map[string]*lastStats[T], late time.Time) {
	for id, t := range of {
		if t.heard.Before(late) {
			delete(of, id)
		}
	}
}
