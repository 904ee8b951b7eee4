package measure

import (
	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
)

// Event is an input of Step: one of the types in this file.
type Event interface{ event() }

// JobGiven is a profiling job. The id of the current job means the same job,
// sent again. A job of a former controller is ignored.
type JobGiven struct{ Job protocol.ProfileJob }

// ProfilesRead answers a Read: the stored profiles under its keys, in any order.
// Profiles that could not be read are missing.
type ProfilesRead struct {
	Job      uint64
	Profiles []protocol.Profile
}

// ProfileStored reports that the Store with this token succeeded or failed.
type ProfileStored struct{ Token protocol.ActionID }

// ActionResult is a worker's result. Results for other issuers and for actions
// that no GPU is waiting for are ignored, so results may arrive late or twice.
type ActionResult struct{ Result protocol.Result }

// WorkerSeen is the first heartbeat of a worker or of its new incarnation, or the first one
// after its loss.
type WorkerSeen struct {
	ID          string
	Incarnation uint64
}

// WorkerLost reports that this incarnation of a worker stopped sending
// heartbeats.
type WorkerLost struct {
	ID          string
	Incarnation uint64
}

// OfWorker is the event of a worker that is there, or is lost.
func OfWorker(c liveness.Change) Event {
	if c.There {
		return WorkerSeen{ID: c.ID, Incarnation: c.Incarnation}
	}
	return WorkerLost{ID: c.ID, Incarnation: c.Incarnation}
}

// Elected begins a term: this profiler holds the lease.
type Elected struct{ Term uint64 }

// Abandon ends the current job, because another profiler holds the lease.
type Abandon struct{}

// Tick reports only that time has passed.
type Tick struct{}

func (JobGiven) event()      {}
func (ProfilesRead) event()  {}
func (ProfileStored) event() {}
func (ActionResult) event()  {}
func (WorkerSeen) event()    {}
func (WorkerLost) event()    {}
func (Elected) event()       {}
func (Abandon) event()       {}
func (Tick) event()          {}
