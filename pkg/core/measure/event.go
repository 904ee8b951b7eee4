package measure

import "clockwork/pkg/protocol"

// Event is something that happened; one of the types of this file.
type Event interface{ event() }

// JobGiven is a job. One with the id of the job at work is that job, sent again.
type JobGiven struct{ Job protocol.ProfileJob }

// ProfilesRead answers a Read: what stands in the store under its keys, in any
// order. What could not be read is missing.
type ProfilesRead struct {
	Job      uint64
	Profiles []protocol.Profile
}

// ProfileStored says that the Store of this token was carried out or failed.
type ProfileStored struct{ Token protocol.ActionID }

// ActionResult is a worker's result. Those of other issuers and of actions that
// nothing waits for are ignored; so results may be late and come twice.
type ActionResult struct{ Result protocol.Result }

// WorkerSeen is a worker's heartbeat: at least the first one, and the first one after
// it was lost.
type WorkerSeen struct {
	ID          string
	Incarnation uint64
}

// WorkerLost says that this incarnation of a worker fell silent.
type WorkerLost struct {
	ID          string
	Incarnation uint64
}

// Abandon ends the job at work: another profiler holds the lease.
type Abandon struct{}

// Tick says only that time has passed.
type Tick struct{}

func (JobGiven) event()      {}
func (ProfilesRead) event()  {}
func (ProfileStored) event() {}
func (ActionResult) event()  {}
func (WorkerSeen) event()    {}
func (WorkerLost) event()    {}
func (Abandon) event()       {}
func (Tick) event()          {}
