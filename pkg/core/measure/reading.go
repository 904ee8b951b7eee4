package measure

import "clockwork/pkg/protocol"

// mostUnread is how many profiles in a row may not be read: a store that does not answer costs
// seconds for each, and there may be tens of thousands.
const mostUnread = 3

// Reading is a Read under way: which profile is read next, and when the reading is given up.
// What is not read is measured again, so that a job begins whatever the store does. One
// goroutine at a time owns it; it needs no machine.
type Reading struct {
	read     Read
	profiles []protocol.Profile
	// next is the index of the key to read, unread how many in a row were not.
	next, unread int
}

// NewReading begins the reading of a Read.
func NewReading(read Read) *Reading { return &Reading{read: read} }

// Next returns the profile to read, false for none: Done is the event then.
func (r *Reading) Next() (Wanted, bool) {
	if r.next == len(r.read.Keys) || r.unread == mostUnread {
		return Wanted{}, false
	}
	return r.read.Keys[r.next], true
}

// Got takes the answer about Next: the profile if the store has one, or failed if the store
// did not say.
func (r *Reading) Got(p protocol.Profile, found, failed bool) {
	r.next++
	switch {
	case failed:
		r.unread++
		return
	case found:
		r.profiles = append(r.profiles, p)
	}
	r.unread = 0
}

// Done returns the event that the Read is owed.
func (r *Reading) Done() ProfilesRead {
	return ProfilesRead{Job: r.read.Job, Profiles: r.profiles}
}
