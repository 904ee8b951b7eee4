package liveness

import "time"

// TakeoverBeats is how many of its own heartbeats a candidate receives, without
// any of the holder's, before it takes over the lease.
const TakeoverBeats = 5

// CampaignEvery is how often a candidate reads the lease.
const CampaignEvery = 100 * time.Millisecond

// Candidate decides when a process takes a lease that it wants: at once if the lease has no
// holder, and from a holder whose heartbeats stay away. Its driver steps it with every
// heartbeat that it receives and, every CampaignEvery, with what it reads of the lease, and
// takes the lease when told so; a write of the lease fails if another process wrote it since.
//
// The candidate's own heartbeats are its clock: they take the same path as the holder's, so
// they stop as well when the broker is slow or the candidate is suspended.
type Candidate struct {
	// self is the id in the candidate's heartbeats.
	self string
	// holder is the last known holder, "" before the first. silent counts the candidate's own
	// heartbeats since the last one of the holder, or since it became the holder.
	holder string
	silent int
	// seen is the last revision at which another process held the lease, 0 for none.
	seen uint64
}

// NewCandidate returns a candidate that sends its heartbeats under an id.
func NewCandidate(id string) *Candidate { return &Candidate{self: id} }

// CandidateEvent is an input of Candidate.Step: Heard, LeaseRead or StoreRead.
type CandidateEvent interface{ candidateEvent() }

// Heard is a heartbeat of any instance of the service that uses the lease.
type Heard struct{ ID string }

// LeaseRead is what the store says of the lease, if anybody has it.
type LeaseRead struct {
	Held bool
	// Holder is the id in the holder's heartbeats, "" if the lease does not name it: the last
	// known one counts. Revision is that of the holder's last write, not 0.
	Holder   string
	Revision uint64
}

// StoreRead answers Bid.ReadStore: the revision of the last write to the store of the leases.
type StoreRead struct{ Last uint64 }

func (Heard) candidateEvent()     {}
func (LeaseRead) candidateEvent() {}
func (StoreRead) candidateEvent() {}

// Bid is what a candidate does about the lease.
type Bid struct {
	// Take: the lease is to be taken, from its holder as of revision From, 0 for nobody.
	Take bool
	From uint64
	// ReadStore: whether to take the lease depends on whether the store was lost.
	ReadStore bool
}

// Step takes one event. A new holder counts as alive at first. A lease that nobody holds is
// the last known holder's, for as long as that one is not silent, if the store was lost: it
// has in memory what was stored.
func (c *Candidate) Step(e CandidateEvent) Bid {
	switch e := e.(type) {
	case Heard:
		c.heard(e.ID)
	case LeaseRead:
		if e.Held {
			c.see(e)
			return Bid{Take: c.takesOver(), From: e.Revision}
		}
		if c.seen > 0 && !c.takesOver() {
			return Bid{ReadStore: true}
		}
		return Bid{Take: true}
	case StoreRead:
		return Bid{Take: e.Last >= c.seen}
	}
	return Bid{}
}

func (c *Candidate) heard(id string) {
	switch id {
	case c.holder:
		c.silent = 0
	case c.self:
		c.silent++
	}
}

// see notes who holds the lease.
func (c *Candidate) see(e LeaseRead) {
	c.seen = e.Revision
	if e.Holder != "" && e.Holder != c.holder {
		c.holder, c.silent = e.Holder, 0
	}
}

// takesOver reports whether the last known holder is silent for long enough.
func (c *Candidate) takesOver() bool { return c.silent >= TakeoverBeats }
