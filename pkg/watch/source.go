package watch

import (
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// Source is what can be read of a service at any time. Its functions take the
// service's lock for as long as it takes to copy some numbers.
type Source struct {
	// Service is the kind, Name which one.
	Service protocol.ServiceKind
	Name    string
	// Ready says why the service cannot do its work now, "" if it can.
	Ready func() string
	// One of these, or none.
	FrontDoor func() FrontDoor
	Scheduler func() Scheduler
	Worker    func() Worker
	// Bus is nil where the service has no connection of its own.
	Bus func() Bus
}

// Reading is a source at an instant.
type Gauges struct {
	Service   protocol.ServiceKind
	Name      string
	Unready   string
	FrontDoor *FrontDoor
	Scheduler *Scheduler
	Worker    *Worker
	Bus       *Bus
}

// FrontDoor is a front door's accounts. Received = Answered + Left + InFlight + Stored,
// once nothing is on its way between two of them; at any time it is not less. Of
// several doors that holds of their sums.
type FrontDoor struct {
	Stage    protocol.Stage
	Epoch    uint64 // of the active scheduler, 0 for none
	InFlight int
	Bytes    int64 // of the requests in flight
	// Stored are requests that wait in the startup buffer; the leader has those of all.
	Stored   int64
	Received int64
	Answered int64
	// Left are replies that were not sent, since the scheduler may have answered; Late
	// are outcomes of requests that had their answer.
	Left, Late int64
}

// Scheduler is a scheduler's; all is zero of one that stands by.
type Scheduler struct {
	Active  bool
	Epoch   uint64
	Workers int
	Stats   sched.Stats
}

// Worker is a worker's.
type Worker struct {
	GPUs       []GPU
	Models     int // in host memory, copies counted
	InFlight   int // actions without a result
	Inputs     int // that wait for their action
	InputBytes int64
	// ClockOffset is how far the scheduler's clock is ahead, known to ClockError; both
	// are 0 until it is.
	ClockOffset, ClockError time.Duration
	ClockSteps              int
}

// GPU is one of a worker's.
type GPU struct {
	Index                 int
	Type                  string
	PagesTotal, PagesUsed int
	Models                int // whose weights are there
}

// Bus is a service's connections'.
type Bus struct {
	Connected  bool
	Dropped    int64 // how often a subscription overflowed and lost messages
	Reconnects uint64
	// RoundTrip is that of a ping of the broker, 0 if none came back.
	RoundTrip time.Duration
	// Messages and bytes, in and out.
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
