package liveness

import "time"

// TakeoverBeats is how many heartbeats a candidate hears of itself, but none of
// the holder, before it takes the lease away.
const TakeoverBeats = 5

// CampaignEvery is how often a candidate looks at the lease.
const CampaignEvery = 100 * time.Millisecond

// Succession says to a candidate whether the holder of the lease that it stands
// for is silent. The candidate's own heartbeats are the clock: they come the same
// way as the holder's, so they do not come either where the broker is slow or the
// candidate was stopped.
type Succession struct {
	// Self is the candidate's id, as in its heartbeats.
	Self string

	holder string // "" for nobody yet
	silent int    // own heartbeats since the holder's last
}

// Heard takes the heartbeat of any instance of the kind that holds such a lease.
func (s *Succession) Heard(id string) {
	switch id {
	case s.holder:
		s.silent = 0
	case s.Self:
		s.silent++
	}
}

// Holder is who held the lease when it was looked at last, "" for nobody yet.
func (s *Succession) Holder() string { return s.holder }

// Silent reports whether whoever holds the lease now is silent; another one than
// before has yet to be heard.
func (s *Succession) Silent(holder string) bool {
	if s.holder != holder {
		s.holder, s.silent = holder, 0
	}
	return s.silent >= TakeoverBeats
}
