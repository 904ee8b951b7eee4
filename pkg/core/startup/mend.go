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

// Write is one of the writes that mend a store, in the order in which they are made: the fence
// before anything, so that no former leader writes beside this one, and the stage last, since
// while it is missing the loss is found again.
type Write struct {
	Kind WriteKind
	// Model is that of WriteModel and WriteProfiles, Quarantine (why a model is not served, by
	// name), Workers and Stage are of the kinds of their names.
	Model      protocol.ModelState
	Quarantine map[string]string
	Workers    []protocol.WorkerState
	Stage      protocol.Stage
}

// WriteKind is a kind of Write.
type WriteKind uint8

// The kinds of Write.
const (
	// RaiseFence stores again that this controller leads.
	RaiseFence WriteKind = iota + 1
	// WriteModel stores a model's description, WriteProfiles its profiles where there are none.
	WriteModel
	WriteProfiles
	// WriteQuarantine and WriteWorkers store why models are not served, and the records of the
	// workers. Before activation there are none.
	WriteQuarantine
	WriteWorkers
	WriteStage
)

// Mend returns what to write for a loss, from what the machine knows. A machine that has no
// stage yet has stored nothing, and has nothing to mend.
func (m *Machine) Mend(loss StoreLoss) (writes []Write) {
	if !loss.Stage {
		for _, name := range slices.Sorted(slices.Values(loss.Models)) {
			if of, is := m.Model(name); is {
				writes = append(writes, Write{Kind: WriteModel, Model: of})
			}
		}
		return writes
	}
	if m.stage == 0 {
		return nil
	}
	writes = append(writes, Write{Kind: RaiseFence})
	for _, of := range m.Models() {
		writes = append(writes, Write{Kind: WriteModel, Model: of}, Write{Kind: WriteProfiles, Model: of})
	}
	if m.stage == protocol.Active {
		writes = append(writes, Write{Kind: WriteQuarantine, Quarantine: m.reasons()}, Write{Kind: WriteWorkers, Workers: m.Workers()})
	}
	return append(writes, Write{Kind: WriteStage, Stage: m.stage})
}

// reasons are those of the models that are not served in this epoch.
func (m *Machine) reasons() map[string]string {
	why := map[string]string{}
	for name, reason := range m.quarantined { // in any order: it is a map again
		why[name] = protocol.ShortText(reason, protocol.MaxText)
	}
	return why
}
