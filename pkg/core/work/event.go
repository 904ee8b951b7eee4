package work

import "clockwork/pkg/protocol"

// Received is an action that arrived, possibly for the second time. The worker keeps
// Action.Requests: the driver must not change them.
type Received struct{ Action protocol.Action }

// Input is the payload of one request: all of its items. The core does not read Data,
// which may be nil if the driver keeps the payload itself. Bytes is the payload's
// length. The payload may arrive before or after the action that needs it.
type Input struct {
	ID    protocol.RequestID
	Bytes int64
	Data  []byte `json:"-"`
}

// Staged ends an order of Output.Stage: its inputs are on the device, or Refusal is the
// reason why not. Phase is the duration of the copy.
type Staged struct {
	Order   *Order `json:"-"`
	Refusal *protocol.Error
	Phase   protocol.Phase
}

// Executed ends an order of Output.Execute.
type Executed struct {
	Order *Order `json:"-"`
	// Refusal is why the execution failed or did not begin, nil if it succeeded.
	Refusal *protocol.Error
	// Phase is the execution as the device measured it. Begin and End are its local
	// times, 0 if it did not begin.
	Phase      protocol.Phase
	Begin, End protocol.Time
	// Fetched: the outputs were copied back as part of the execution, in FetchedPhase;
	// no Fetch follows.
	Fetched      bool
	FetchedPhase protocol.Phase
}

// Fetched ends an order of Output.Fetch: its outputs are in host memory, or Refusal is
// the reason why not.
type Fetched struct {
	Order   *Order `json:"-"`
	Refusal *protocol.Error
	Phase   protocol.Phase
}

// Transferred ends an order of Output.Transfer.
type Transferred struct {
	Order *Order `json:"-"`
	// Refusal is why the transfer failed, nil if it succeeded. The weights of a failed
	// load are not on the GPU; those of a failed eviction still are.
	Refusal    *protocol.Error
	Begin, End protocol.Time
	// Kept are the models of Order.Dropping whose weights are still on the GPU; only
	// for a part of a ClearCache.
	Kept []string
}

// ModelRead ends an order of Output.Read.
type ModelRead struct {
	Order *Order `json:"-"`
	// Refusal is why the model could not be read, nil if it was. Spec describes the
	// model, except for its name; Profiles are the measurements stored with it.
	Refusal    *protocol.Error
	Begin, End protocol.Time
	Spec       protocol.ModelSpec
	Profiles   []protocol.Profile
	// Handle is the driver's reference to the model, which becomes Model.Handle.
	// Ignored if Refusal is set.
	Handle any `json:"-"`
}

// ExecutorLost reports that a process which executed for a GPU has ended: the Executor-th
// one of that GPU, the first is 0. It may come before or after the ends of the orders that
// the process had; a second report about the same process does nothing.
type ExecutorLost struct {
	GPU      int
	Executor uint32
}

// ExecutorReady reports that the next process executes for a GPU whose executor was lost.
type ExecutorReady struct{ GPU int }

// ClockReading is one reading of the scheduler's clock: the local times of request
// (Asked) and reply (Answered), and the scheduler's time in the reply (Remote).
type ClockReading struct {
	Epoch                   uint64
	Asked, Answered, Remote protocol.Time
}

// Stop makes the worker refuse new actions with SHUTTING_DOWN. Accepted ones continue.
type Stop struct{}

// Abandon ends every action that has not begun with SHUTTING_DOWN. Stop precedes it.
type Abandon struct{}

// Tick reports only that time has passed.
type Tick struct{}

func (*Received) event()      {}
func (*Input) event()         {}
func (*Staged) event()        {}
func (*Executed) event()      {}
func (*Fetched) event()       {}
func (*Transferred) event()   {}
func (*ModelRead) event()     {}
func (*ExecutorLost) event()  {}
func (*ExecutorReady) event() {}
func (*ClockReading) event()  {}
func (*Stop) event()          {}
func (*Abandon) event()       {}
func (*Tick) event()          {}
