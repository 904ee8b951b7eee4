package work

import (
	"time"

	"clockwork/pkg/protocol"
)

// Config is what a worker is and what it may hold.
type Config struct {
	// Name is the worker's, Incarnation this start of it; neither is empty.
	Name        string
	Incarnation uint64
	// Backend and BackendVersion are part of the key of profiles.
	Backend, BackendVersion string
	GPUs                    []GPU
	// GenerateInputs: requests without inputs run on generated ones; else they
	// are answered INVALID_INPUT.
	GenerateInputs bool
	// Ahead is how far in the future an action may begin; further ones are
	// answered TOO_EARLY.
	Ahead time.Duration
	// MaxQueued bounds the actions that wait for one lane of one GPU.
	MaxQueued int
	// MaxInputBytes bounds the inputs that are held, MaxInputs those of them that no
	// action has claimed; InputWait is how long such a one is kept.
	MaxInputs     int
	MaxInputBytes int64
	InputWait     time.Duration
	// MaxModels bounds the models in host memory, copies counted; MaxLoads the
	// loads under way or waiting for one of ConcurrentLoads readers.
	MaxModels, MaxLoads, ConcurrentLoads int
	// MaxOutput is the largest output of one request that can be sent, in bytes.
	MaxOutput int64
}

// GPU is one GPU of the worker; its index is its place in Config.GPUs.
type GPU struct {
	UUID string
	// Type keys profiles: GPUs of one type run equally fast.
	Type string
	// Pages is how many pages of weights it holds, PageSize their size in bytes.
	Pages    int
	PageSize int64
}

// Defaults returns the default of each limit; the caller adds who the worker is.
func Defaults() Config {
	return Config{
		Ahead:           time.Minute,
		MaxQueued:       4096,
		MaxInputs:       65536,
		MaxInputBytes:   1 << 30,
		InputWait:       time.Minute,
		MaxModels:       65536,
		MaxLoads:        256,
		ConcurrentLoads: 2,
		MaxOutput:       8 << 20,
	}
}

func (c *Config) pageSize() int64 {
	if len(c.GPUs) == 0 {
		return 0
	}
	return c.GPUs[0].PageSize
}

// Event is something that happened; one of the types of event.go. As JSON, events are
// what a recording holds: an order is named by its Number beside the event, and what is
// the driver's own is left out.
type Event interface{ event() }

// Output is what a Step wants done, in the order of its fields. It may be used
// until the next Step. Its JSON shows all of it but what is the driver's own.
type Output struct {
	// Stage are Infers whose inputs are complete and go to the device now.
	Stage []*Order
	// Execute are Infers that begin now, at most one of each GPU.
	Execute []*Order
	// Fetch are Infers that ran well and whose outputs are to be copied back.
	Fetch []*Order
	// Transfer are LoadWeights, EvictWeights and parts of a ClearCache that begin
	// now, at most one of each GPU.
	Transfer []*Order
	// Read are models to read from disk, at most Config.ConcurrentLoads at a time.
	Read []*Order
	// Deliver are Infers whose outputs go to the front doors; before their results.
	Deliver []*Order
	// Release are Infers whose runs may be freed; nothing reads their inputs any more.
	Release []*Order
	// Close are models that no copy needs any more.
	Close []*Model
	// Results are answers of actions, in the order in which they ended. The issuer
	// is in each. Ended are their orders, in the same order.
	Results []protocol.Result
	Ended   []*Order
	// Again are results that were given before, and states: they are sent, but no
	// action has ended.
	Again []protocol.Result
	// Dropped are inputs that found no room: their actions will miss them.
	Dropped []protocol.RequestID
	// Loaded are models that came into host memory in this step, for the log.
	Loaded []*Order
	// Stepped: the scheduler's clock or this one was stepped; it is measured anew.
	Stepped bool
	// ClockKnown: the clock of another epoch is known as of this step; the
	// scheduler waits to hear of that.
	ClockKnown bool
	// Wake is when a Tick is due at the latest because of what changed in this
	// step; Never for nothing. Earlier wakes stay due. A Tick says all anew.
	Wake protocol.Time
}

func (o *Output) begin() {
	o.Stage, o.Execute, o.Fetch, o.Transfer, o.Read = o.Stage[:0], o.Execute[:0], o.Fetch[:0], o.Transfer[:0], o.Read[:0]
	o.Deliver, o.Release, o.Close, o.Results, o.Again = o.Deliver[:0], o.Release[:0], o.Close[:0], o.Results[:0], o.Again[:0]
	o.Ended = o.Ended[:0]
	o.Dropped, o.Loaded = o.Dropped[:0], o.Loaded[:0]
	o.Stepped, o.ClockKnown, o.Wake = false, false, protocol.Never
}
