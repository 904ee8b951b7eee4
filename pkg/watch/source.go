package watch

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Source is the gauges of a service. Its functions hold the service's lock only while
// they copy some numbers.
type Source struct {
	// Service is the kind of service, Name its instance.
	Service protocol.ServiceKind
	Name    string
	// Ready returns why the service cannot do its work now, "" if it can.
	Ready func() string
	// At most one of these is set.
	FrontDoor func() FrontDoor
	Scheduler func() Scheduler
	Worker    func() Worker
	// Bus is nil if the service has no connection of its own.
	Bus func() Bus
}

// Gauges is a Source's values at one instant.
type Gauges struct {
	Service   protocol.ServiceKind
	Name      string
	Unready   string
	FrontDoor *FrontDoor
	Scheduler *Scheduler
	Worker    *Worker
	Bus       *Bus
}

// FrontDoor is a front door's counters. Received = Answered + Left + InFlight + Stored
// when no message is in transit between those states, and Received is never less than
// that sum. With several front doors this holds for the sums over all.
type FrontDoor struct {
	Stage    protocol.Stage
	Epoch    uint64 // of the active scheduler, 0 for none
	Capacity protocol.Capacity
	InFlight int
	Bytes    int64 // of the requests in flight
	// EarlyBytes are those of outputs that wait for the notice of their dispatch.
	EarlyBytes int64
	// Stored counts the requests in the startup buffer; only the leader reports them,
	// for all front doors.
	Stored   int64
	Received int64
	Answered int64
	// Left counts replies that were not sent because the scheduler may have answered
	// already; Late counts outcomes of requests that had their answer already.
	Left, Late int64
}

// Scheduler is a scheduler's gauges; all are zero on a standby.
type Scheduler struct {
	Active  bool
	Epoch   uint64
	Workers int
	Lacking int // models that workers do not serve, summed over workers
	Stats   sched.Stats
}

// Worker is a worker's gauges.
type Worker struct {
	GPUs       []GPU
	Models     int // in host memory, copies counted
	InFlight   int // actions without a result
	Inputs     int // inputs whose action has not arrived yet
	InputBytes int64
	// ClockOffset is how far the scheduler's clock is ahead of the worker's, and
	// ClockError the bound of that estimate's error; both are 0 until an estimate
	// exists.
	ClockOffset, ClockError time.Duration
	ClockSteps              int
}

// GPU is the gauges of one GPU.
type GPU struct {
	Index                 int
	Type                  string
	PagesTotal, PagesUsed int
	Models                int // with weights on the GPU
	// ExecutorsEnded counts the executors that ended by themselves, ExecutorsOverdue those
	// that the worker ended.
	ExecutorsEnded, ExecutorsOverdue int
	// Stalled says why the GPU gets nothing done, "" if it does.
	Stalled string
}

// Bus is the gauges of a service's connections.
type Bus struct {
	Connected  bool
	Dropped    int64 // how often a subscription overflowed and lost messages
	Reconnects uint64
	// RoundTrip is that of a ping of the broker, 0 if the ping was not answered.
	RoundTrip                                  time.Duration
	MessagesIn, MessagesOut, BytesIn, BytesOut uint64
}

func (s *Source) read() Gauges {
	r := Gauges{Service: s.Service, Name: s.Name}
	if s.Ready != nil {
		r.Unready = s.Ready()
	}
	r.FrontDoor, r.Scheduler, r.Worker, r.Bus = read(s.FrontDoor), read(s.Scheduler), read(s.Worker), read(s.Bus)
	return r
}

func read[T any](from func() T) *T {
	if from == nil {
		return nil
	}
	value := from()
	return &value
}
