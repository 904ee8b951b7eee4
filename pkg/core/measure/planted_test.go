//go:build planted

package measure

import (
	"testing"

	"clockwork/pkg/testkit/planted"
)

// faults are planted one at a time. The worlds must find each of them; one that
// they do not find shows what they do not look at.
var faults = []planted.Fault{
	{"> for >= of tries", "machine.go", "	return m.tries[key] > maxTries\n", "	return m.tries[key] > maxTries+1\n"},
	{"tries are never counted", "machine.go", "	m.tries[key]++\n", ""},
	{"forgotten timer of an action", "gpu.go", "	m.timers.Set(&g.timer, int64(m.now.Add(m.cfg.ActionTimeout)), uint64(m.token))\n	m.out.Actions", "	m.out.Actions"},
	{"forgotten timer of a pause", "outcome.go", "		m.timers.Set(&g.timer, int64(m.now.Add(m.cfg.ActionTimeout)), uint64(m.token))\n", ""},
	{"a GPU is never hung", "outcome.go", "	case g.jams >= maxJams:\n", "	case false:\n"},
	{"a lost GPU's unit is dropped", "outcome.go", "		m.setback(NoResult, g, m.tries[u.key()], reason)\n		m.giveBack(u)\n", "		m.setback(NoResult, g, m.tries[u.key()], reason)\n"},
	{"a unit that was not begun is dropped", "outcome.go", "	} else if g.state == working {\n		m.giveBack(g.unit)\n	}\n", "	}\n"},
	{"a verdict and back again", "outcome.go", "		m.verdict(u, reason)\n	default:\n", "		m.verdict(u, reason)\n		m.giveBack(u)\n	default:\n"},
	{"the next job does not wait for what a GPU does", "gpu.go", "		g.state = leaving // finish the outstanding action first\n", "		m.free(g)\n"},
	{"what a GPU is at still is given to another", "job.go", "u.fits(g) && !m.job.isHeld(u.key())", "u.fits(g)"},
	{"the store is read while it is written", "job.go", "	if j.queried || m.storing > 0 {\n", "	if j.queried {\n"},
	{"a stored profile is measured again", "unit.go", "if at, ok := u.known.At(batch); ok && at.Valid() {", "if at, ok := u.known.At(batch); ok && !at.Valid() {"},
	{"what is complete is not seen to be", "job.go", "		case u.complete():\n", "		case false:\n"},
	{"absurd times are believed", "unit.go", "	if !m.Valid() {\n		return \"\", fmt.Sprintf(\"absurd times", "	if false {\n		return \"\", fmt.Sprintf(\"absurd times"},
	{"the run that does not count, counts", "unit.go", "sampled: i > 0, closes", "sampled: true, closes"},
	{"progress of a second try", "job.go", "	if g.passed++; g.passed <= u.shown {\n		return\n	}\n", "	g.passed++\n"},
	{"a lost unit is a verdict on it", "job.go", "		if g.state == lost && j.hasFor(g) {", "		if false && g.state == lost {"},
	{"copies are measured each", "job.go", "key := (Key{model.Digest, t}); ", "key := (Key{model.Name, t}); "},
	{"results of another issuer", "outcome.go", "r.Issuer != m.cfg.Issuer || ", ""},
	{"two GPUs by map order", "job.go", "	for _, g := range m.job.gpus {\n		if g.state == idle", "	for _, g := range m.gpus {\n		if g.state == idle"},
	{"a model too large for the GPU", "unit.go", "u.gpuType == g.kind && w.SpecOf(u.model).Pages <= g.pages", "u.gpuType == g.kind && w.PageSize >= 0"},
	{"batches out of order", "unit.go", "return a.Batch - b.Batch })\n	u.known", "return b.Batch - a.Batch })\n	u.known"},
	{"a store that does not answer is asked for all", "reading.go", " || r.unread == mostUnread {", " {"},
	{"reading is given up for good ones between", "reading.go", "	r.unread = 0\n", ""},
	{"what a store lacks is a failure of the store", "reading.go", "	case failed:\n", "	case failed || !found:\n"},
	{"a job that nobody hears of", "machine.go", "State: protocol.Standby, Job: m.Job()}\n	switch {\n	case h.Job != 0:\n", "State: protocol.Standby}\n	switch {\n	case m.job != nil:\n"},
}

// TestPlantedPlaces: make lint asks, so that a change of the code takes its faults along.
func TestPlantedPlaces(t *testing.T) { planted.Places(t, faults) }

// TestPlantedBugs has the worlds and the tables of single rules look for each fault.
func TestPlantedBugs(t *testing.T) {
	planted.Find(t, faults, "-test.run", "TestWorld|TestReading|TestWhatAStore|TestHeartbeats")
}
