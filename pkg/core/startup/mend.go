package startup

import (
	"slices"

	"clockwork/pkg/protocol"
)

// StoreLoss is what the store has lost while this machine went on: the broker's data may be
// gone, or values of it that nobody can read.
type StoreLoss struct {
	// Stage: it is missing or unreadable. Whoever starts would begin anew, so nothing else
	// in the store counts.
	Stage bool
	// Models are those whose descriptions nobody can read, by name.
	Models []string
}

// Mending is what the store must hold again, in the order in which it is written: the stage
// last, since while it is missing the loss is found again.
type Mending struct {
	// Models are to be written, each with its profile if Profiles.
	Models   []protocol.ModelState
	Profiles bool
	// Serving: Quarantine, the models that are not served and why, and the records of Workers
	// are written too. Before activation there are none.
	Serving    bool
	Quarantine map[string]string
	Workers    []protocol.WorkerState
	// Stage is 0 if the store has it.
	Stage protocol.Stage
}

// Mend returns what to write for a loss, from what the machine knows. A machine that has no
// stage yet has stored nothing, and has nothing to mend.
func (m *Machine) Mend(loss StoreLoss) (mend Mending) {
	if !loss.Stage {
		for _, name := range slices.Sorted(slices.Values(loss.Models)) {
			if of, is := m.Model(name); is {
				mend.Models = append(mend.Models, of)
			}
		}
		return mend
	}
	mend.Models, mend.Profiles, mend.Stage = m.Models(), true, m.stage
	if mend.Serving = m.stage == protocol.Active; mend.Serving {
		mend.Quarantine, mend.Workers = m.reasons(), m.Workers()
	}
	return mend
}

// reasons are those of the models that are not served in this epoch.
func (m *Machine) reasons() map[string]string {
	why := map[string]string{}
	for name, reason := range m.quarantined { // in any order: it is a map again
		why[name] = protocol.ShortText(reason, protocol.MaxText)
	}
	return why
}
