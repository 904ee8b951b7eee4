package startup

import (
	"unicode/utf8"

	"clockwork/pkg/protocol"
)

// What is stored and sent of a model is its description. One that does not fit into a value
// of the store, or leaves no room there for the stage, could be loaded and never served.

// descriptionBytes bounds what a model's description takes as JSON.
func descriptionBytes(s *protocol.ModelSpec) int64 {
	const fields = 512 // names and numbers, without what follows
	n := int64(fields + jsonBytes(s.Name) + jsonBytes(s.Path) + jsonBytes(s.Digest) + jsonBytes(s.Backend) + jsonBytes(s.BackendVersion) + 8*len(s.BatchSizes))
	for _, list := range [][]protocol.TensorSpec{s.Inputs, s.Outputs} {
		for _, t := range list {
			const tensor = 48
			n += int64(tensor + jsonBytes(t.Name) + len(protocol.ShapeString(t.Shape)))
		}
	}
	return n
}

// jsonBytes bounds what a string takes as JSON.
func jsonBytes(s string) (n int) {
	for _, r := range s {
		if r >= ' ' && r <= '~' && r != '"' && r != '\\' && r != '<' && r != '>' && r != '&' {
			n++
		} else {
			n += max(len(`\u0000`), utf8.RuneLen(r))
		}
	}
	return n
}

// describable returns why the new models of a load cannot be stored and sent, nil if they can.
// The copies differ in name alone.
func (m *Machine) describable(specs []protocol.ModelSpec) *protocol.Error {
	fresh := m.newBytes(specs)
	if fresh == 0 {
		return nil
	}
	if each := descriptionBytes(&specs[0]); each > m.cfg.MaxDescription {
		refusal := protocol.Errorf(protocol.ModelTooLarge, "its %d inputs and %d outputs take %d bytes to describe, a model may take %d",
			len(specs[0].Inputs), len(specs[0].Outputs), each, m.cfg.MaxDescription)
		refusal.Got, refusal.Limit = each, m.cfg.MaxDescription
		return refusal
	}
	total := m.described
	for _, l := range m.loads {
		if l.storing != 0 {
			total += m.newBytes(l.specs)
		}
	}
	if total += fresh; total > m.cfg.MaxDescriptions {
		refusal := protocol.Errorf(protocol.ModelTooLarge, "the stack's models would take %d bytes to describe, the limit is %d", total, m.cfg.MaxDescriptions)
		refusal.Got, refusal.Limit = total, m.cfg.MaxDescriptions
		return refusal
	}
	return nil
}

// newBytes returns what those of specs take that are not accepted yet.
func (m *Machine) newBytes(specs []protocol.ModelSpec) (n int64) {
	for i := range specs {
		if !m.isModel(specs[i].Name) {
			n += descriptionBytes(&specs[i])
		}
	}
	return n
}

// accept adds a model to the stack's.
func (m *Machine) accept(s protocol.ModelSpec) {
	if !m.isModel(s.Name) {
		m.models[s.Name] = s
		m.described += descriptionBytes(&s)
	}
}
