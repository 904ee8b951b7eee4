//go:build planted

package startup

import (
	"testing"

	"clockwork/pkg/testkit/planted"
)

// faults are planted one at a time. The scripts or the worlds must find each of them.
var faults = []planted.Fault{
	{"nothing is pinned", "worker.go", "	if t.pinned != (pin{}) {", "	if false {"},
	{"the largest batch of today", "worker.go", "load.MaxExec = t.pinned.version, t.pinned.digest, t.pinned.maxBatch, 0", "load.MaxExec = t.pinned.version, t.pinned.digest, c.MaxBatch, 0"},
	{"whatever comes is what was accepted", "worker.go", "			if diff := r.Loaded[i].Differs(&want); diff != \"\" {\n", "			if diff := r.Loaded[i].Differs(&want); false {\n"},
	{"what fails is there", "worker.go", "	case t.catchup:\n		m.lack(w, t.names, failure)\n", "	case t.catchup:\n"},
	{"what is lacked is not told", "worker.go", "		s.Lacks = append(", "		_ = append("},
	{"what comes late is lacked for ever", "worker.go", "	case t.catchup && failure == nil:\n		m.regain(w, t.names)\n", "	case t.catchup && failure == nil:\n"},
	{"a load that is late holds all up", "worker.go", "				t.late = true\n				w.catchups--\n", "				t.late = true\n"},
	{"loads wait for workers that lack something", "load.go", "	if len(whole) > 0 {\n		return whole\n	}\n", ""},
	{"what was stored goes past those that lack something", "load.go", "	for _, w := range m.sorted() {\n		m.catchUp(w, l)\n	}\n", ""},
	{"held models are loaded as they come", "load.go", "	m.settleHeld(l)\n", ""},
	{"a new version is no change", "worker.go", "	case r.Loaded[0].Digest != held.Digest || r.Loaded[0].Version != held.Version && held.Version != 0:\n", "	case false:\n"},
	{"an answer does not wait for the comparison", "load.go", "	compares := func(t *task) bool { return t.load == l && t.compare }\n", "	compares := func(t *task) bool { return false }\n"},
	{"one version of the backend is like another", "latecomer.go", "	spec := s.SpecOf(m.models[name])\n", "	spec := m.models[name]\n"},
	{"versions of the backend in one job", "activation.go", "		return w.Backend != one.Backend || w.BackendVersion != one.BackendVersion\n", "		return w.Backend != one.Backend\n"},
	{"activation without the profiles of other versions", "activation.go", "Profiles: m.known(models, workers), Workers", "Profiles: m.known(models, nil), Workers"},
	{"what cannot be measured is not lacked", "latecomer.go", "t != \"\" && w.serves(model.Name) {\n				m.lack(", "t != \"\" && false {\n				m.lack("},
}

// TestPlantedBugs has scripts and worlds look for each fault.
func TestPlantedBugs(t *testing.T) { planted.Find(t, faults, "-test.run", "TestScripts|TestWorld") }
