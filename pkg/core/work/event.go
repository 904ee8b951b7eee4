package work

import "clockwork/pkg/protocol"

// Received is an action that arrived. The worker may keep Action.Requests.
type Received struct{ Action protocol.Action }

// Input is the payload of one request: all of its items. Data is opaque and may be
// nil where only the driver knows the bytes; Bytes is its length.
type Input struct {
	ID    protocol.RequestID
	Bytes int64
	Data  []byte `json:"-"`
}

// Staged says that the inputs of an order of Output.Stage are on the device, or why
// not. Phase is the copy, in local time.
type Staged struct {
	Order   *Order `json:"-"`
	Refused *protocol.Error
	Phase   protocol.Phase
}

// Executed ends an order of Output.Execute. Begin and End are 0 if it never began.
// Fetched: its outputs were copied along already, in Output.
type Executed struct {
	Order        *Order `json:"-"`
	Refused      *protocol.Error
	Phase        protocol.Phase
	Begin, End   protocol.Time
	Fetched      bool
	FetchedPhase protocol.Phase
}

// Fetched ends an order of Output.Fetch.
type Fetched struct {
	Order   *Order `json:"-"`
	Refused *protocol.Error
	Phase   protocol.Phase
}

// Transferred ends an order of Output.Transfer. Kept are the models of a ClearCache
// whose weights could not be dropped.
type Transferred struct {
	Order      *Order `json:"-"`
	Refused    *protocol.Error
	Begin, End protocol.Time
	Kept       []string
}

// ModelRead ends an order of Output.Read. Handle is the driver's, given back with
// orders of the model and at last in Output.Close.
type ModelRead struct {
	Order      *Order `json:"-"`
	Refused    *protocol.Error
	Begin, End protocol.Time
	Spec       protocol.ModelSpec
	Profiles   []protocol.Profile
	Handle     any `json:"-"`
}

// ClockReading is an answer of the scheduler to the question for its time: the local
// times of question and answer, and what its time was.
type ClockReading struct {
	Epoch                   uint64
	Asked, Answered, Remote protocol.Time
}

// Stop: what is new is refused from now on. Abandon: what waits is, too.
type Stop struct{}

// Abandon answers everything that has not begun with SHUTTING_DOWN.
type Abandon struct{}

// Tick says only that time has passed.
type Tick struct{}

func (*Received) event()     {}
func (*Input) event()        {}
func (*Staged) event()       {}
func (*Executed) event()     {}
func (*Fetched) event()      {}
func (*Transferred) event()  {}
func (*ModelRead) event()    {}
func (*ClockReading) event() {}
func (*Stop) event()         {}
func (*Abandon) event()      {}
func (*Tick) event()         {}
