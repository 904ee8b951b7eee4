//go:build planted

package sched

import (
	"slices"
	"testing"

	"clockwork/pkg/testkit/planted"
)

// faults are planted one at a time. The worlds must find each of them; one that
// they do not find shows what they do not look at.
var faults = []planted.Fault{
	{"no epoch check", "engine.go", "if c.active && e.Epoch <= c.epoch {", "if false {"},
	{"who restarts is not waited for", "restart.go", "	case ok && end <= r.deadline:\n", "	case false:\n"},
	{"a killed executor is the request's fault", "result.go", "certain: res.Code == protocol.ExecutorLost,", "certain: true,"},
	{"a killed executor is the load's fault", "result.go", "guilty := res.Code == protocol.ExecutorLost && res.Begin != 0", "guilty := res.Begin != 0"},
	{"page off by one", "books.go", "return g.total - g.foreign - g.allocated }", "return g.total - g.foreign - g.allocated + 1 }"},
	{"pages of a load are not counted", "actions.go", "	g.allocated += pages\n	g.loading, r.phase", "	g.loading, r.phase"},
	{"double reply", "request.go", "	c.out.Refusals = append(c.out.Refusals, protocol.Dispatch{ID: r.ID, Kind: protocol.Refuse, Refusal: refusal})\n", "	c.out.Refusals = append(c.out.Refusals, protocol.Dispatch{ID: r.ID, Kind: protocol.Refuse, Refusal: refusal})\n	c.out.Refusals = append(c.out.Refusals, c.out.Refusals[len(c.out.Refusals)-1])\n"},
	{"forgotten timer of a request", "request.go", "	c.timers.Set(&r.timer, int64(r.deadline.Add(-exec).Add(1)), c.ticket())\n", "	_ = exec\n"},
	{"forgotten timer of an action", "actions.go", "	c.timers.Set(&a.timer, int64(a.end().Add(patience+w.delay.fromWorker.value())), c.ticket())\n", "	_ = patience\n"},
	{"an overdue action is never given up", "stall.go", "		c.timers.Set(&a.timer, int64(a.end().Add(c.config.Lag)), c.ticket())\n", ""},
	{"what was not worth it is never asked again", "result.go", "		g.waitersRetried = false // what was not worth its time may be now\n", ""},
	{"turns are not renewed when the queue loses requests", "books.go", "	m.queuedAs = queueVersion{}\n	m.queued--\n", "	m.queued--\n"},
	{"a model is homeless twice", "transfer.go", "			if !m.demand.waitingForSlot {\n", "			{\n"},
	{"a stalled GPU is said to serve", "engine.go", "		if !g.stalled && g.able > 0 {\n", "		if g.able > 0 {\n"},
	{"a GPU stays mute", "stall.go", "	c.unstallIdle(r.gpu)\n", ""},
	{"timer left behind", "request.go", "	c.timers.Remove(&r.timer)\n", ""},
	{"> for >= of due timers", "engine.go", "protocol.Time(first.Key) > c.now {", "protocol.Time(first.Key) >= c.now {"},
	{"wrong lane sum", "lane.go", "	l.work -= a.takes + a.wait\n", "	l.work -= a.takes / 2\n"},
	{"demand not returned", "policy_clockwork.go", "	m.demand.exec -= r.demand.exec\n	r.demand.exec = 0\n", "	r.demand.exec = 0\n"},
	{"demand of a copy not returned", "actions.go", "	g.waitersRetried = false\n	r.give(0)\n", "	g.waitersRetried = false\n"},
	{"new GPUs are not looked at", "workers.go", "		c.markGPU(g)\n", ""},
	{"demand ends with the load budget", "transfer.go", "	return max(1, m.demand.exec)\n", "	return 0\n"},
	{"duplicate submission taken", "request.go", "if c.known[s.ID] != nil {", "if false {"},
	{"refusing a request in flight", "request.go", "if r.action == nil {\n			c.refuse(r, nil)", "if r.action != nil {\n			c.refuse(r, nil)"},
	{"evicting while busy", "actions.go", "		if victim.busy == 0 {\n", "		if victim.busy >= 0 {\n"},
	{"load twice", "actions.go", "	if g.loading != nil || g.down {\n		return\n	}\n", ""},
	{"replan of what has ended", "result.go", "case r.orphan, r.attempts", "case r.attempts"},
	{"what is withdrawn waits", "request.go", "	if !r.waiting {\n		return\n	}\n	m := r.model\n", "	m := r.model\n	if true {\n		return\n	}\n"},
	{"what was sent is withdrawn", "request.go", "	if !r.waiting {\n		return\n	}\n	m := r.model\n", "	m := r.model\n"},
	{"what is withdrawn is planned again", "result.go", "	case r.withdrawn:\n", "	case false:\n"},
	{"what is withdrawn counts as refused", "request.go", "		c.stats.Withdrawn++\n", "		c.stats.Refused++\n"},
	{"replan without taking the action off", "result.go", "		r.action = nil\n		c.replan(r, refusal)", "		c.replan(r, refusal)"},
	{"wrong incarnation", "actions.go", "Incarnation: w.incarnation, Kind: kind,", "Incarnation: w.incarnation + 1, Kind: kind,"},
	{"stale worker kept", "workers.go", "	c.workers = slices.Delete(c.workers, at, at+1)\n", ""},
	{"loss of any life", "workers.go", "e.Incarnation != 0 && c.workers[at].incarnation != e.Incarnation {", "false {"},
	{"queue out of order", "books.go", "for after != nil && r.before(after) {", "for after != nil && after.before(r) {"},
	{"items not counted back", "books.go", "	m.items -= r.Batch\n", ""},
	{"turn of a copy that left", "policy_clockwork.go", "	r.gpu.runQueue.Remove(&r.queueEntry)\n	r.give(0)\n", "	r.give(0)\n"},
	{"ties of GPUs by map order", "transfer.go", "	p.transfersBusy = true\n	for _, g := range p.gpus {\n", "	p.transfersBusy = true\n	all := map[*gpu]bool{}\n	for _, g := range p.gpus {\n		all[g] = true\n	}\n	for g := range all {\n"},
	{"turn of before the queue changed", "run_queue.go", "if !r.queueEntry.In() || r.queueEntry.Key != key {", "if !r.queueEntry.In() {"},
	{"timer of a lost GPU", "workers.go", "		c.timers.Remove(&g.nextSlotTimer)\n", ""},
	{"a clock of any epoch", "membership.go", "t.workers.synced[w.ID] == (clockSync{w.Incarnation, t.Epoch()})", "t.workers.synced[w.ID].incarnation == w.Incarnation"},
	{"who joins is not asked", "membership.go", "		if !joining.answered || !t.ready(&joining) {\n", "		if !t.ready(&joining) {\n"},
	{"who joins is asked in no epoch", "membership.go", "	q.Number, q.Epoch = m.questions, t.Epoch()\n", "	q.Number = m.questions\n"},
	{"who joins is asked once", "membership.go", "	t.inquire(h.ID)\n", ""},
	{"what can be held is counted once", "workers.go", "	c.recount = true\n", ""},
	{"a silent worker is asked once", "membership.go", "		t.missWorker(e.ID, e.Incarnation) // it may be silent again; its next heartbeat asks\n", ""},
	{"who joins is taken to be well", "membership.go", "		delete(m.told, id)\n		t.tellHealth(id)\n", "		delete(m.told, id)\n"},
	{"what is well is not news", "membership.go", "	if slices.Equal(m.health[id], m.told[id]) {", "	if slices.Equal(m.health[id], m.told[id]) || m.health[id] == nil {"},
	{"a member is news each time", "membership.go", "member && incarnation == w.Incarnation {", "member && incarnation > w.Incarnation {"},
	{"lost a heartbeat too early", "../liveness/watch.go", "a.silent > LostTicks {", "a.silent >= LostTicks {"},
	{"lost a heartbeat too late", "../liveness/watch.go", "a.silent > LostTicks {", "a.silent > LostTicks+1 {"},
	{"who is announced before it beats is forgotten", "membership.go", "		m.keepEarly(w)\n", "		_ = m\n"},
	{"who returns before the start holds all", "membership.go", "		if joining.own {\n", "		if joining.own && len(w.Models) == 0 {\n"},
	{"a newer epoch is not minded", "term.go", "	if epoch > t.Epoch() {\n", "	if false {\n"},
	{"a worker's word ends a term", "term.go", "	if epoch <= max(t.Epoch(), t.seen) {\n", "	if true {\n"},
	{"a front door's word on epochs", "frontdoor_ledger.go", "	t.doors.watch.Beat(h)\n", "	t.doors.watch.Beat(h)\n	t.seen = max(t.seen, h.Epoch)\n"},
	{"a worker's word makes an epoch", "term.go", "	workers := state.Workers\n", "	workers := state.Workers\n	for _, w := range workers {\n		t.config.Epoch = max(t.config.Epoch, w.Epoch)\n	}\n"},
	{"a worker that refuses all belongs", "membership.go", "	if t.outgrown(h) {\n", "	if false {\n"},
	{"one worker ends a term for all", "membership.go", "t.active && len(m.members) == 0 && ", "t.active && len(m.members) >= 0 && "},
	{"a term that nobody obeys goes on", "membership.go", "		t.resign(\"all workers obey a newer epoch\")\n", ""},
	{"the own epoch is a newer one", "term.go", "	if epoch > t.Epoch() {\n", "	if epoch >= t.Epoch() {\n"},
	{"decisions name no epoch", "term.go", "		decisions[i].Epoch = t.Epoch()\n", "		_ = i\n"},
	{"words on late answers name no epoch", "frontdoor_ledger.go", "Kind: word, Epoch: t.Epoch()}", "Kind: word}"},
	{"a lost front door is not looked after", "frontdoor_ledger.go", "		of.lost, of.since = true, t.now\n		t.pursue(of)\n		t.doors.schedule()\n", "		of.lost, of.since = true, t.now\n		t.pursue(of)\n"},
	{"claims are not heard", "frontdoor_ledger.go", "	t.doors.strike(e.FrontDoor, e.Answered)\n", ""},
	{"answered before it is due", "frontdoor_ledger.go", "		if c.due > of.queriedAt {\n", "		if c.due > of.queriedAt.Add(time.Second) {\n"},
	{"what was answered is not remembered", "frontdoor_ledger.go", "	a.seqs[seq], a.last = struct{}{}, now\n", "	a.last = now\n"},
	{"another epoch's late answers are judged", "frontdoor_ledger.go", "	if e.Epoch != t.Epoch() {\n		return\n	}\n	word", "	word"},
	{"missed messages are not minded", "frontdoor_ledger.go", "	if n := t.doors.clear(); n > 0 {", "	if n := 0; n > 0 {"},
	{"taken is not counted back", "frontdoor_ledger.go", "		f.waiting--\n", ""},
	{"lost claims stay in the books", "frontdoor_ledger.go", "c.due <= now.Add(-staleAfter) })", "c.due < 0 && staleAfter > 0 })"},
	{"a batch takes in who must be alone", "batch.go", "		if len(p.members) > 0 && (r.single() || first.single()) {\n", "		if false {\n"},
	{"a blamed request is put beside others", "run_queue.go", "p.members[0].blamed() && !g.isolated() {", "false {"},
	{"others are put beside a blamed request", "blame.go", "&& (len(g.infers) == 0 || !g.infers[0].suspect)", ""},
	{"two blamed requests at one worker", "blame.go", "len(g.infers) == 0 && g.worker.suspects == 0", "len(g.infers) == 0"},
	{"poison goes round for ever", "blame.go", "r.Crashes >= maxCrashes || of.certain && a.count == 1", "false"},
	{"who was alone goes on", "blame.go", "r.Crashes >= maxCrashes || of.certain && a.count == 1", "r.Crashes >= maxCrashes"},
	{"whole batches are refused", "blame.go", "of.certain && a.count == 1", "of.certain"},
	{"blame is not passed on", "actions.go", ", Crashes: r.Crashes})", "})"},
	{"a failed batch runs again as one", "blame.go", "		r.alone = true\n	}\n	c.replanAll", "		_ = r\n	}\n	c.replanAll"},
	{"the text of a failed batch is for all", "blame.go", "	c.replanAll(a, refusal, WhyFailed)", "	refusal.Message += res.Message\n	c.replanAll(a, refusal, WhyFailed)"},
	{"quarantined one crash late", "blame.go", "len(m.crashes) < n {", "len(m.crashes) <= n {"},
	{"old crashes count", "blame.go", "return at <= since }", "return at <= since && false }"},
	{"a quarantine never ends", "blame.go", "	case r.model.quarantineLeft(c.now) > 0:\n", "	case r.model.quarantined > 0:\n"},
	{"what waits outlives a quarantine", "blame.go", "	for m.head != nil {\n", "	for false {\n"},
	{"a refusal shows that a GPU executes", "stall.go", "a.kind == protocol.Infer && (res.Begin != 0 || res.Code == protocol.OK)", "a.kind == protocol.Infer"},
	{"a GPU that is down gets work", "blame.go", "return !g.down && !g.draining", "return !g.draining"},
	{"a GPU that is down gets loads", "actions.go", "return !g.down && c.suits(g, m)", "return c.suits(g, m)"},
	{"a GPU stays down", "restart.go", "	c.setDown(g, beat.Stalled)\n", "	c.setDown(g, g.down || beat.Stalled)\n"},
	{"down is forgotten at the next result", "stall.go", "if !g.stalled || g.down {", "if !g.stalled {"},
	{"pending loads wait for a GPU that is down", "stall.go", "			c.remove(r)\n", "			_ = r\n"},
	{"copies outlive their executor", "restart.go", "		g.executor = beat.Executor\n		c.weightsLost(g)\n", "		g.executor = beat.Executor\n"},
	{"who waits for a blamed request is not woken", "result.go", "			c.markGPU(other) // it may have waited for this\n", "			_ = other\n"},
	{"a load that ended its executor is under way while its requests are refused", "result.go", "	c.remove(a.replica) // before requests are refused: it is being loaded no more\n	if !guilty {\n		return\n	}\n	c.stats.Crashes++\n", "	if guilty {\n		defer c.remove(a.replica)\n	} else {\n		c.remove(a.replica)\n		return\n	}\n	c.stats.Crashes++\n"},
	{"what fails later outlives a quarantine", "result.go", "	case r.model.quarantineLeft(c.now) > 0:\n", "	case false:\n"},
	{"who was slow began late", "result.go", "	if begin.Add(a.takes) <= until {\n", "	if begin.Add(a.takes) < 0 {\n"},
	{"what is late is in time", "result.go", "	if end <= until {\n", "	if true {\n"},
	{"what is given up is awaited", "result.go", "	c.out.Unanswered = append(c.out.Unanswered, Unanswered{a.id, lost})\n", ""},
	{"a transfer of a lost worker is awaited", "workers.go", "				c.giveUp(r.transfer, true)\n", "				c.close(r.transfer, c.now)\n"},
	{"inputs are not planned", "netdelay.go", "2*w.toWorker.value()+p.inputDelay(w, inputs)+p.config.Future/2", "2*w.toWorker.value()+p.config.Future/2"},
	{"inputs that did not come say nothing", "input_time.go", "	if r.Code == protocol.InputMissing {\n", "	if false {\n"},
	{"small inputs say something", "input_time.go", "	if bytes < learnedBytes {\n", "	if bytes < 0 {\n"},
	{"generated inputs are sent", "input_time.go", "	if r.Generated {\n", "	if false {\n"},
	{"the way back is not planned", "policy_clockwork.go", "	if p.WayBack && wayBack > 0 {\n", "	if false {\n"},
	{"the way back is no part of the latest begin", "run_queue.go", "least = min(least, r.slack)", "least = min(least, (r.Budget-r.deadline.Sub(r.arrived))/2)"},
	{"a claim before its result is lost", "way_back.go", "			r.answeredAt = c.now // its result is still on its way\n", ""},
	{"a claim before its result takes until the result", "way_back.go", "w.add(c.now, r.answeredAt.Sub(end))", "w.add(c.now, c.now.Sub(end))"},
	{"claims that never come are awaited for ever", "way_back.go", " || c.now.Sub(o.end) > wayPatience", ""},
	{"a followed answer is forgotten", "way_back.go", "if o := &w.outstanding[i]; o.end == 0 ||", "if o := &w.outstanding[i]; true ||"},
	{"a front door's ways outlast it", "request.go", "	delete(c.waysBack, door)\n", ""},
	{"answers of all sizes are alike", "way_back.go", "	return min((bits.Len64(size)+1)/2, waySizes-1)\n", "	return min(bits.Len64(size), 0)\n"},
	{"few answers say enough", "way_back.go", "w.took.Samples() < wayLeast", "w.took.Samples() < 1"},
	{"a lane does not wait for inputs", "lane.go", "		a.wait = max(0, a.ready.Sub(free))\n", ""},
	{"the next one of a lane does not wait for inputs", "lane.go", "		l.begun = max(l.begun, next.ready)\n", ""},
	{"a pause of a lane counts twice", "lane.go", "		l.work -= next.wait\n", ""},
	{"doubt forgotten", "workers.go", "			a.unknown = append(a.unknown, unknownCopy{g.id, r.model})\n", ""},

	// Sets of models.
	{"a copy counts on a GPU that cannot hold it", "transfer.go", "		if p.capable(r.gpu, m) {\n", "		if !r.gpu.down {\n"},
	{"what waits outlives its model", "set.go", "	for m.head != nil {\n", "	for false {\n"},
	{"what fails later outlives its model", "result.go", "	case r.model.retired:\n", "	case false:\n"},
	{"a retired model is unknown", "set.go", "	c.retired[m.spec.Name] = m\n", ""},
	{"an older set replaces a newer one", "set.go", "to.Set <= c.set {", "to.Set < c.set-1 {"},
	{"a model that returns is another one", "set.go", "m == nil || m.spec.Differs(&specs[i]) != \"\" {", "m == nil || m.spec.Name != \"\" {"},
	{"a load ends in service though its model has left", "result.go", "r.doubtful || m.retired {", "r.doubtful {"},
	{"a retired copy stays because nobody needs its pages", "actions.go", "r.phase == draining && !r.model.retired {", "r.phase == draining {"},
	{"who was away keeps what has left", "workers.go", "i >= len(state.Models) || m.retired {", "i >= len(state.Models) {"},
	{"what has left is not found on who was away", "set.go", "	m := c.retired[name]\n	if m != nil {", "	m := c.retired[\"\"]\n	if m != nil {"},
	{"a GPU is able of what has left", "set.go", "			c.canHold(g, m, -1)\n", ""},
	{"pages of a copy that leaves are not counted", "set.go", "		r.gpu.leaving += r.pages()\n", ""},
	{"a copy that leaves waits for the next event", "set.go", "		c.idle(r)\n", ""},
	{"nobody hosts what is new", "set.go", "			c.setHosted(w, *state)\n", "			_ = state\n"},
	{"new models have no profiles", "set.go", "	c.adopt(to.Profiles)\n", ""},
	{"what returns is able nowhere", "engine.go", "			c.canHold(g, m, +1)\n		}\n	}\n	c.recount = true\n", "			_ = g\n		}\n	}\n	c.recount = true\n"},
	{"what leaves is counted as before", "set.go", "	c.recount = true\n", ""},

	// Inputs on their way to a worker.
	{"front doors together send what they like", "inbound.go", "	return c.config.MaxInbound == 0 || w.inbound.bytes < c.config.MaxInbound\n", "	return true\n"},
	{"what was missed is forgotten", "inbound.go", "	if !a.missed {\n		c.inputsGone", "	if true {\n		c.inputsGone"},
	{"what was missed counts for ever", "inbound.go", "	if len(in.missed) > 0 {\n", "	if false {\n"},
	{"nobody is told of room for inputs", "inbound.go", "		c.markGPU(g)\n", "		_ = g\n"},
	{"what has come is on its way", "inbound.go", "	if a.inputs == 0 {\n", "	if true {\n"},
}

// TestPlantedPlaces: make lint asks, so that a change of the code takes its faults along.
func TestPlantedPlaces(t *testing.T) { planted.Places(t, faults) }

// TestPlantedBugs has the worlds look for each fault, those of the term for what is the term's;
// and the scripts, for what only a few worlds come across.
func TestPlantedBugs(t *testing.T) {
	ofCore, ofTerm, ofInputs := split(faults)
	planted.Find(t, ofCore, "-test.run", "TestScripts|TestWorld/(clockwork|simple)", "-patient", "4s")
	planted.Find(t, ofTerm, "-test.run", "TestTermWorld")
	planted.Find(t, ofInputs, "-test.run", "TestInputsOnTheirWay")
}

func split(all []planted.Fault) (ofCore, ofTerm, ofInputs []planted.Fault) {
	for _, f := range all {
		if f.File == "inbound.go" {
			ofInputs = append(ofInputs, f)
		} else if slices.Contains([]string{"term.go", "membership.go", "frontdoor_ledger.go", "../liveness/watch.go"}, f.File) {
			ofTerm = append(ofTerm, f)
		} else {
			ofCore = append(ofCore, f)
		}
	}
	return ofCore, ofTerm, ofInputs
}
