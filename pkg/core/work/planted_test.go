//go:build planted

package work

import (
	"testing"

	"clockwork/pkg/testkit/planted"
)

// faults are planted one at a time. The worlds must find each of them; one that
// they do not find shows what they do not look at.
var faults = []planted.Fault{
	{"what is being removed is loaded", "library.go", "if load := o.Action.Load; !load.Compare && ", "if load := o.Action.Load; false && "},
	{"a load waits when nothing removes its model any more", "transfer.go", "	w.answer(whole, part.first)\n	w.giveReaders()\n", "	w.answer(whole, part.first)\n"},
	{"what is being removed is told to be there", "library.go", "		if leaving[name] {\n			continue\n		}\n", ""},
	{"no epoch check", "worker.go", "	case w.outdated(a):\n", "	case false:\n"},
	{"an action without epoch is stale", "worker.go", "w.epoch > 0 && a.Kind.OnGPU()", "w.epoch > 0"},
	{"without epoch everything goes", "worker.go", "w.epoch > 0 && a.Kind.OnGPU()", "false"},
	{"times of a former clock", "worker.go", "	return a.Epoch < w.newestEpoch()\n", "	return a.Epoch < w.epoch\n"},
	{"what waits is never stale", "transfer.go", "	case g.worker.outdated(&o.Action):\n", "	case false:\n"},
	{"what is lost and in use is not moving", "../pages/ledger.go", "name]; h.phase != loaded || h.lost {", "name]; h.phase != loaded {"},
	{"the epoch is not remembered", "worker.go", "	w.epoch = max(w.epoch, a.Epoch)\n", ""},
	{"the epoch goes back", "worker.go", "	w.epoch = max(w.epoch, a.Epoch)\n", "	w.epoch = a.Epoch\n"},
	{"any incarnation", "worker.go", "a.Incarnation != 0 && a.Incarnation != w.config.Incarnation", "false"},
	{"windows are not converted", "worker.go", "		o.Earliest, o.Latest = w.offset.Local(o.Earliest), w.offset.Local(o.Latest)\n", ""},
	{"actions are held for ever", "worker.go", "	case o.Earliest > w.now.Add(w.config.Ahead):\n", "	case false:\n"},
	{"a worker that stops takes more", "worker.go", "	case w.leaves():\n", "	case false:\n"},
	{"forgotten wake", "gpu.go", "			g.worker.out.Wake = min(g.worker.out.Wake, out.Wake)\n", ""},
	{"what comes again is done again", "results.go", "	case !known:\n", "	case !known || place != atWork:\n"},
	{"a result is not remembered", "results.go", "	w.answered.put(o.key(), r)\n", "	w.answered.forget(o.key())\n"},
	{"weights that were replaced", "infer.go", "	if o.version != 0 && o.version != version {\n", "	if false {\n"},
	{"weights are never done with", "infer.go", "	w.busy--\n	g.pages.Done(o.Action.Model)\n", "	w.busy--\n"},
	{"released while it is staged", "results.go", "	if o.staging {\n		return\n	}\n", ""},
	{"inputs of any size", "inputs.go", "s.bytes != want {", "s.bytes > want {"},
	{"inputs without bound", "inputs.go", "	for o == nil && len(in.arrived) >= w.config.MaxInputs || in.bytes+e.Bytes > w.config.MaxInputBytes {\n", "	for false {\n"},
	{"a payload that is waited for finds no room", "inputs.go", "	for o == nil && len(in.arrived)", "	for len(in.arrived)"},
	{"what nobody claims leaves no room", "inputs.go", "	if in.bytes-in.unclaimed+e.Bytes >", "	if in.bytes+e.Bytes >"},
	{"claimed inputs leave room", "inputs.go", "			in.unclaimed -= p.bytes\n", ""},
	{"the newest input makes room", "inputs.go", "	first := in.order[0].id\n	in.order = in.order[1:]\n	in.drop", "	first := in.order[len(in.order)-1].id\n	in.order = in.order[:len(in.order)-1]\n	in.drop"},
	{"bytes of expired inputs stay", "inputs.go", "	in.bytes, in.unclaimed = in.bytes-p.bytes, in.unclaimed-p.bytes\n", "	in.unclaimed -= p.bytes\n"},
	{"inputs are kept for ever", "inputs.go", "in.order[0].at <= before || ", "false || "},
	{"who waits for an input is not forgotten", "inputs.go", "				delete(in.waiting, r.ID)\n			}\n", "			}\n"},
	{"executions without bound", "infer.go", "n >= w.config.MaxQueued {", "n > w.config.MaxQueued {"},
	{"a clear has no bound", "transfer.go", "		if n := g.transfers.Len(); n >= w.config.MaxQueued {\n", "		if n := g.transfers.Len(); n < 0 {\n"},
	{"a load that failed is there", "transfer.go", "	case load:\n		g.pages.Abort(model)\n", "	case load:\n		g.pages.Commit(model)\n"},
	{"a clear forgets what is in use", "transfer.go", "				g.pages.Keep(taken)\n", "				_ = taken\n"},
	{"a part of a clear is the whole", "transfer.go", "	if part.left--; part.left > 0 {\n", "	if part.left--; part.left > 1 {\n"},
	{"room for models is looked at once", "library.go", "		refusal = w.checkNames(o.Action.Load)\n", ""},
	{"a reader too many", "library.go", "quick < most &&", "quick <= most &&"},
	{"slow loads take all readers", "library.go", "quick < most && len(w.reading) < 2*most", "quick < most && len(w.reading) < most"},
	{"slow loads are without bound", "library.go", "len(w.reading) < 2*most", "true"},
	{"nobody wakes for a slow load", "library.go", "	w.out.Wake = min(w.out.Wake, next)\n", "	_ = next\n"},
	{"a model is closed with its first copy", "library.go", "	if s.copies--; s.copies > 0 {\n", "	if s.copies--; false {\n"},
	{"a twin stays open", "library.go", "	if s.copies == 0 || s.Number != o.Number {\n", "	if s.copies == 0 {\n"},
	{"a late begin", "../lane/lane.go", "		if e.Latest >= l.now {\n", "		if e.Latest.Add(5_000_000) >= l.now {\n"},
	{"an early begin", "../lane/lane.go", "		if e.Earliest > l.now {\n			return 0\n		}\n", ""},
	{"inputs are not waited for", "../lane/lane.go", "		if e.ready {\n", "		if true {\n"},
	{"page off by one", "../pages/ledger.go", "	l.free = l.free[:len(l.free)-n]\n", "	l.free = l.free[:len(l.free)-n+1]\n"},
	{"the last page is never given", "../pages/ledger.go", "	if n > len(l.free) {\n", "	if n >= len(l.free) {\n"},
	{"weights outlive their process", "executor.go", "	g.pages.Lose()\n", ""},
	{"a process ends twice", "executor.go", "	if number < g.executor {\n", "	if false {\n"},
	{"lost weights stay when nobody reads them any more", "../pages/ledger.go", "	if h.users--; h.users == 0 && h.lost {\n", "	if h.users--; false {\n"},
	{"a load of a process that ended is there", "../pages/ledger.go", "	if h.lost {\n		l.drop(model, h)\n		return false\n	}\n", ""},
	{"who is copied for is blamed", "infer.go", "		o.gpu.withdraw(o, notBlamed(e.Refusal))\n", "		o.gpu.withdraw(o, e.Refusal)\n"},
	{"what hangs is never overdue", "gpu.go", "	g.overdue()\n", ""},
	{"what hangs is overdue again and again", "overdue.go", "			o.due = protocol.Never\n			w.out", "			w.out"},
	{"nobody wakes for what hangs", "overdue.go", "	g.worker.out.Wake = min(g.worker.out.Wake, o.due)\n", ""},
	{"a worker that is to begin anew takes more", "renew.go", "return w.stopping || w.renewal.asked", "return w.stopping"},
	{"a worker begins anew with what it has", "renew.go", "	case w.inFlight > 0:\n", "	case false:\n"},
	{"a worker begins anew at once", "renew.go", "		r.at = w.now.Add(renewQuiet)\n", "		r.at = w.now\n"},
	{"nobody wakes a worker that is to begin anew", "renew.go", "		w.out.Wake = min(w.out.Wake, r.at)\n", ""},
	{"a worker that begins anew obeys its epoch still", "renew.go", "	w.epoch, w.renewal, w.out.Renewed = 0, renewal{}, true\n", "	w.renewal, w.out.Renewed = renewal{}, true\n"},
	{"a worker that stops begins anew", "renew.go", "!r.asked || w.stopping:", "!r.asked:"},
	{"a start that hangs is never ended", "gpu.go", "	g.overdueRestart()\n", ""},
	{"nobody wakes for a start that hangs", "restart.go", "	g.worker.out.Wake = min(g.worker.out.Wake, r.due)\n", ""},
	{"starts in vain are not counted", "restart.go", "		r.vain++\n", ""},
	{"a start that is ready hangs", "restart.go", "g.down, g.restart = false, restart{due: protocol.Never}", "g.down = false"},
	{"measurements are overdue at once", "overdue.go", "		return d.Unmeasured\n", "		return d.Floor\n"},
	{"who was killed is not missed", "executor.go", "refusal != nil && refusal.Code.LosesExecutor()", "refusal != nil && refusal.Code == protocol.ExecutorLost"},
	{"a load that was given up is read on", "library.go", "			w.out.GivenUp = append(w.out.GivenUp, o)\n", ""},
	{"nobody wakes for a load that was given up", "library.go", "	w.out.Wake = min(w.out.Wake, o.due)\n	return nil\n", "	return nil\n"},
	{"a load that was given up waits for a reader", "library.go", "		w.loading--\n		w.answer(o, o.tooLong())\n		return true\n", "		return false\n"},
	{"a load that was given up is kept", "library.go", "	if refusal == nil && o.givenUp {\n", "	if false {\n"},
	{"evicting while it is read", "../pages/ledger.go", "	case h.users > 0:\n", "	case false:\n"},
}

// TestPlantedPlaces: make lint asks, so that a change of the code takes its faults along.
func TestPlantedPlaces(t *testing.T) { planted.Places(t, faults) }

// TestPlantedBugs has the worlds look for each fault.
func TestPlantedBugs(t *testing.T) { planted.Find(t, faults, "-test.run", "TestWorld") }
