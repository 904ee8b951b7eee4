package bench

import (
	"fmt"
	"slices"
	"strings"

	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// Missing is a load of a workload of which the stack serves too few copies.
type Missing struct {
	workload.Load
	// Have is the number of served copies.
	Have int
	// Quarantined is the reason why a copy is loaded but not served, if there is
	// one.
	Quarantined string
}

// Command returns the command that loads the missing models, after "clockwork".
func (m Missing) Command() string {
	command := "load " + m.Path
	if m.Copies > 1 {
		command += fmt.Sprintf(" --copies %d", m.Copies)
	}
	if m.Name != protocol.NameOfPath(m.Path) {
		command += " --name " + m.Name
	}
	return command
}

// Match assigns a model of the stack to each instance of a workload: the model
// with the same name and path, else any other with the same path, each model
// once. If a load's path is the name of a model, that model fits as well.
// Instances without a model are reported by load.
func Match(w workload.Workload, loaded []protocol.ModelState) ([]protocol.ModelState, []Missing) {
	m := matching{taken: map[string]bool{}, loaded: slices.SortedFunc(slices.Values(loaded), byName)}
	instances := w.Instances()
	models := make([]protocol.ModelState, len(instances))
	for i, in := range instances {
		m.take(&models[i], func(s protocol.ModelState) bool { return s.Name == in.Name && s.Path == in.Path })
	}
	for i, in := range instances {
		if models[i].Name == "" {
			m.take(&models[i], func(s protocol.ModelState) bool { return s.Path == in.Path || s.Name == in.Path })
		}
	}
	return models, m.missing(w, models)
}

// byName sorts model-10 after model-9.
func byName(a, b protocol.ModelState) int {
	if len(a.Name) != len(b.Name) {
		return len(a.Name) - len(b.Name)
	}
	return strings.Compare(a.Name, b.Name)
}

// matching assigns each model once.
type matching struct {
	loaded []protocol.ModelState
	taken  map[string]bool
}

func (m matching) take(into *protocol.ModelState, fits func(protocol.ModelState) bool) {
	for _, s := range m.loaded {
		if !m.taken[s.Name] && s.Quarantined == "" && fits(s) {
			m.taken[s.Name], *into = true, s
			return
		}
	}
}

func (m matching) missing(w workload.Workload, models []protocol.ModelState) []Missing {
	var all []Missing
	for _, l := range w.Loads {
		of := models[:l.Copies]
		models = models[l.Copies:]
		have := len(slices.DeleteFunc(slices.Clone(of), func(s protocol.ModelState) bool { return s.Name == "" }))
		if have < l.Copies {
			all = append(all, Missing{l, have, m.quarantined(l.Path)})
		}
	}
	return all
}

func (m matching) quarantined(path string) string {
	for _, s := range m.loaded {
		if s.Path == path && s.Quarantined != "" {
			return s.Quarantined
		}
	}
	return ""
}
