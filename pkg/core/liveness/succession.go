package liveness

import "time"

// TakeoverBeats is how many of its own heartbeats a candidate receives, without
// any of the holder's, before it takes over the lease.
const TakeoverBeats = 5

// CampaignEvery is how often a candidate checks the lease.
const CampaignEvery = 100 * time.Millisecond

// Succession tells a candidate whether the holder of a lease is silent. The
// candidate's own heartbeats are the clock: they take the same path as the
// holder's, so they stop as well when the broker is slow or the candidate is
// suspended.
type Succession struct {
	// Self is the id in the candidate's heartbeats.
	Self string

	holder string // "" before the first look
	silent int    // own heartbeats since the holder's last
}

// Heard takes a heartbeat of any instance of the service that uses this lease.
func (s *Succession) Heard(id string) {
	switch id {
	case s.holder:
		s.silent = 0
	case s.Self:
		s.silent++
	}
}

// Holder returns the lease holder at the last look, "" before the first.
func (s *Succession) Holder() string { return s.holder }

// Silent reports whether the current holder of the lease is silent. A new holder
// counts as alive at first.
func (s *Succession) Silent(holder string) bool {
	if s.holder != holder {
		s.holder, s.silent = holder, 0
	}
	return s.silent >= TakeoverBeats
}
