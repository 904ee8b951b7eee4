//go:build planted

package frontdoor

import (
	"testing"

	"clockwork/pkg/testkit/planted"
)

// faults are planted one at a time. The worlds must find each of them; one that
// they do not find shows what they do not look at.
var faults = []planted.Fault{
	{"whoever asks hears the answer", "machine.go", "	case !m.config.Subjects.MayAnswerInfer(e.asker(), e.Reply):\n", "	case false:\n"},
	{"what is refused is not counted", "machine.go", "	m.counts.Answered++\n	m.out.Refused = why\n", "	m.out.Refused = why\n"},
	{"what is rejected keeps its share", "machine.go", "	m.table.limits.Return(r.share)\n	m.out.Rejected = r\n", "	m.out.Rejected = r\n"},
	{"a slow body keeps its slots", "machine.go", "		m.slow.giveBack(r.Tenant, r.slots)\n		r.slots = 0\n", "		r.slots = 0\n"},
	{"slots are not taken, and a share is kept", "machine.go", "		m.table.limits.Return(share)\n		m.refuse(protocol.Errorf(protocol.Overloaded, \"too", "		m.refuse(protocol.Errorf(protocol.Overloaded, \"too"},
	{"what is being stored keeps its slot", "machine.go", "	m.stores.giveBack(e.Request.Tenant, 1)\n", ""},
	{"what was stored counts for ever", "machine.go", "(m.activated() || m.now >= m.stored[0].until)", "m.now < m.stored[0].until"},
	{"what was stored does not count", "machine.go", "	m.stored = append(m.stored, storedShare{", "	m.table.limits.Return(e.Request.share)\n	_ = append(m.stored, storedShare{"},
	{"what has no time left is submitted", "machine.go", "	if m.epoch == 0 || m.now >= r.Deadline {\n", "	if m.epoch == 0 {\n"},
	{"a submission is not noted", "machine.go", "	r.epoch = m.epoch\n", ""},
	{"an unreadable body keeps its slots", "machine.go", "		m.releaseSlots(e.Request)\n		m.reject", "		m.reject"},
	{"breaks before a request count", "machine.go", "	r.breaks = m.breaks\n", ""},
	{"woken for deadlines alone", "machine.go", "m.table.next(), m.nextQuery(), m.buffer", "m.table.next(), m.buffer"},
	{"not woken for the startup buffer", "machine.go", ", m.buffer.next(&m.config))", ")"},
	{"inputs of any size", "machine.go", "n > m.config.MaxPayload {", "n > 2*m.config.MaxPayload {"},
	{"what is direct waits for activation", "machine.go", "	case e.Direct && !m.activated():\n", "	case false:\n"},
	{"served before anybody serves", "machine.go", "	accepting := m.activated()\n", "	accepting := m.schedulerActive()\n"},

	{"blame is forgotten", "request.go", "	r.crashes = max(r.crashes, d.Crashes)\n", ""},
	{"the last word on blame counts", "request.go", "	r.crashes = max(r.crashes, d.Crashes)\n", "	r.crashes = d.Crashes\n"},
	{"OK after the deadline", "answer.go", "	if refusal == nil && m.now >= r.Deadline {\n", "	if refusal == nil && m.now > r.Deadline.Add(protocol.LateReplyUnasked) {\n"},
	{"a client with a connection waits for the broker", "answer.go", "	if m.down && !r.direct {\n", "	if m.down {\n"},
	{"whose the answer to a connection is, is asked", "answer.go", " && !r.direct && r.breaks", " && r.breaks"},
	{"the answer to a connection is claimed", "answer.go", "Claim: r.epoch != 0 && !r.direct})", "Claim: r.epoch != 0})"},
	{"who went away is waited for", "answer.go", "r.direct && r.Worker == \"\" {", "r.direct && false {"},
	{"what runs ends with its client", "answer.go", "r.direct && r.Worker == \"\" {", "r.direct {"},
	{"a worker answers what it was not given", "answer.go", "r != nil && !r.mayComeFrom(e.Worker)", "r != nil && false"},
	{"what overtakes its dispatch is dropped", "early.go", "!r.Generated || len(r.early) >= maxEarly", "true"},
	{"what overtakes a second dispatch is dropped", "early.go", "!r.Generated || len(r.early) >= maxEarly", "!r.Generated || r.Worker != \"\""},
	{"a dispatch finds no output", "answer.go", "o := r.earlyOf(d.Worker); o != nil {", "o := r.earlyOf(d.Worker); o != nil && len(r.before) == 0 {"},
	{"what is kept answers any dispatch", "early.go", "		if e.worker == worker {\n", "		if true {\n"},
	{"any input's output is kept", "early.go", "	if !r.Generated || len", "	if len"},
	{"what was kept takes room for ever", "table.go", "	t.dropEarly(r)\n", ""},
	{"a worker without a name", "answer.go", "r == nil || !protocol.ValidName(d.Worker)", "r == nil"},
	{"an output is answered twice", "answer.go", "	r := m.table.take(seq)\n", "	r := m.table.bySeq[seq]\n"},
	{"answered while the broker is not reached", "answer.go", "	if m.down && !r.direct {\n		m.heldAnswers", "	if false {\n		m.heldAnswers"},
	{"what waits for the broker is forgotten", "answer.go", "	for _, h := range waiting {\n		m.end", "	for _, h := range waiting[:0] {\n		m.end"},
	{"late answers are never asked about", "answer.go", "	return r.epoch != 0 && !r.owned", "	return false && r.epoch != 0 && !r.owned"},
	{"a break is not noted", "answer.go", "	m.breaks++\n", ""},
	{"the broken epoch is the next one", "answer.go", "	m.broken, m.outage = m.latest, ", "	m.broken, m.outage = m.latest+1, "},
	{"no outage is long", "answer.go", "m.latest, m.now.Sub(m.lastBeat)\n", "m.latest, 0\n"},
	{"a second outage replaces the first", "answer.go", "r.outage = max(r.outage, m.outage)", "r.outage = 0"},
	{"what is due at a break is not settled then", "answer.go", "		m.end(h.request, h.refusal, h.output)\n	}\n	m.expire()\n", "		m.end(h.request, h.refusal, h.output)\n	}\n"},
	{"a question is put once", "answer.go", "	r.queryAt = m.now.Add(protocol.HeartbeatEvery)\n", "	r.queryAt = protocol.Never\n"},
	{"another epoch is asked for ever", "answer.go", "m.epoch == 0 || m.epoch == r.queryEpoch:", "m.epoch == 0 || m.epoch >= r.queryEpoch:"},
	{"what the scheduler has taken is answered", "answer.go", "		m.abandon(m.openQueries[d.ID.Seq])\n", "		if r := m.openQueries[d.ID.Seq]; r != nil {\n			delete(m.openQueries, d.ID.Seq)\n			m.reply(r, r.refusal, nil)\n		}\n"},
	{"what is left is not counted", "answer.go", "	m.counts.Left++\n", ""},
	{"an answer is not claimed", "answer.go", "Claim: r.epoch != 0 &&", "Claim: r.epoch == m.epoch &&"},
	{"an output of any size", "answer.go", "int64(len(o.Data)) != want && o.Data != nil {", "int64(len(o.Data)) > want {"},
	{"an OK of any size", "answer.go", "(e.At >= r.Deadline || bytes > limit)", "e.At >= r.Deadline"},
	{"an OK that is not sent is too late", "answer.go", "	if m.now >= e.Deadline {\n", "	if m.now < e.Deadline {\n"},
	{"a code nobody knows", "answer.go", "	if !told.Code.Known() {\n", "	if false {\n"},
	{"stopping answers what the scheduler may own", "answer.go", "	for _, seq := range sortedKeys(m.openQueries) {\n		m.abandon(m.openQueries[seq])\n	}\n}\n", "	for _, seq := range sortedKeys(m.openQueries) {\n		r := m.openQueries[seq]\n		delete(m.openQueries, seq)\n		m.reply(r, r.refusal, nil)\n	}\n}\n"},
	{"a word on another front door's request", "answer.go", "d.ID.Door != m.config.ID || m.outdated(d)", "m.outdated(d)"},
	{"a former scheduler's word", "answer.go", "d.Epoch < r.epoch", "false"},
	{"a later scheduler's word is not obeyed", "answer.go", "d.Epoch < r.epoch", "d.Epoch != r.epoch"},

	{"woken while as many are claimed as may be", "buffer.go", "len(b.waiting) > 0 && b.mayClaim(c) {\n		next", "len(b.waiting) > 0 {\n		next"},
	{"one claim too many", "buffer.go", "	return len(b.claims) < c.Claims &&", "	return len(b.claims) <= c.Claims &&"},
	{"the broker's clock is believed", "buffer.go", "min(max(0, e.Age), m.config.BufferTimeout)", "e.Age"},
	{"claimed too late", "buffer.go", "	return m.now >= b.arrived.Add", "	return m.now > b.arrived.Add"},
	{"what waits is claimed without room", "buffer.go", "		if !m.holdRoom(first) {\n", "		if !m.holdRoom(first) && false {\n"},
	{"what waits for room waits for ever", "buffer.go", "	return m.isOver(b)\n", "	return false\n"},
	{"a claim's room is held for ever", "buffer.go", "	m.table.release(b.held)\n", ""},
	{"a claim holds no room", "buffer.go", "		b.held = r\n", "		m.table.release(r)\n"},
	{"numbers take no more room than they did", "buffer.go", "mostExpansion*int64(b.Bytes))}", "0)}"},
	{"OVERLOADED after the time in the buffer", "buffer.go", "fault.Code == protocol.Overloaded && m.isOver(b)", "false"},
	{"handed over out of order", "buffer.go", "	for len(b.claims) > 0 && b.claims[0].claimed != nil {\n		first := b.claims[0]\n		b.claims = b.claims[1:]\n", "	for i := len(b.claims) - 1; i >= 0; i-- {\n		first := b.claims[i]\n		if first.claimed == nil {\n			continue\n		}\n		b.claims = append(b.claims[:i:i], b.claims[i+1:]...)\n"},
	{"a claim of another buffer", "buffer.go", "return c.BufferedID == id }", "return c.Seq == id.Seq }"},
	{"what is undecided is claimed once", "buffer.go", "b.unsure, b.claimed, b.retryAt = true, nil, m.now.Add(claimAgain)\n", "b.unsure, b.claimed, b.retryAt = true, nil, protocol.Never\n"},
	{"what is undecided is answered", "buffer.go", "		m.buffer.undecided[b.BufferedID] = b\n", "		m.buffer.undecided[b.BufferedID] = b\n		m.refuseBuffered(r, protocol.Refusal(protocol.StateUnavailable))\n"},
	{"a claim without an answer was none", "buffer.go", "	case !c.Mine && b.unsure && !b.shared:", "	case false:"},
	{"what two may have claimed is answered", "buffer.go", "	case !c.Mine && b.unsure && !b.shared:", "	case !c.Mine && b.unsure:"},
	{"what another owner finds is claimed again", "buffer.go", "	case c.Unknown && b.left:", "	case false:"},
	{"an owner that is one again leaves what it claims", "buffer.go", "		b.left = false\n", ""},
	{"a lost buffer is answered for by two", "buffer.go", "	if b.shared {\n		return // another owner may have claimed it\n	}\n", ""},
	{"what somebody else has claimed is served", "buffer.go", "	case !c.Mine: // somebody else answers it\n", "	case false:\n"},
	{"a claim is the model's of later", "buffer.go", "	if !b.known {\n", "	if b.spec, b.known = m.models[b.Model]; !b.known {\n"},
	{"what is handed over has no limit's share", "buffer.go", "	r.share = m.table.limits.Hold(r.Tenant, r.Name, int64(r.Bytes), instant(m.now))\n", ""},
	{"a full front door keeps a share", "buffer.go", "	if fault := m.accept(r); fault != nil {\n		m.table.limits.Return(r.share)\n", "	if fault := m.accept(r); fault != nil {\n"},
	{"a former owner goes on", "buffer.go", "	m.buffer.takeIdle()\n	for", "	for"},
	{"a lost buffer's claims are forgotten", "buffer.go", "lost := m.buffer.takeIdle()\n", "lost := m.buffer.takeIdle()\n	m.buffer.claims = nil\n"},
	{"a lost buffer's claims go on", "buffer.go", "	case !c.Mine && b.lost:\n		m.refuseLost(b)\n", ""},

	{"the lowest epoch is in charge", "schedulers.go", "		epoch = max(epoch, a.epoch)\n", "		if epoch == 0 || a.epoch < epoch {\n			epoch = a.epoch\n		}\n"},
	{"a new epoch is given nothing", "schedulers.go", "		if r.epoch != epoch {\n", "		if r.epoch == 0 {\n"},
	{"a new epoch is given everything twice", "schedulers.go", "		if r.epoch != epoch {\n", "		if r.epoch != 0 {\n"},
	{"a silent scheduler stays in charge", "schedulers.go", "func (m *Machine) schedulerLost(h protocol.Heartbeat) {\n	delete(m.actives, h.ID)\n", "func (m *Machine) schedulerLost(h protocol.Heartbeat) {\n"},
	{"a standby's heartbeat counts", "schedulers.go", "		m.lastBeat = m.now\n	} else {", "	} else {\n		m.lastBeat = m.now"},
	{"nobody serves after the first scheduler", "schedulers.go", "m.stage == protocol.Active && m.latest != 0 }", "m.stage == protocol.Active && m.epoch != 0 }"},

	{"one request too many", "table.go", "taken.count >= t.maxCount {", "taken.count > t.maxCount {"},
	{"clients take the room that others wait for", "table.go", "		taken = taken.and(t.turn)\n", ""},
	{"bytes without bound", "table.go", "	if taken.bytes+int64(len(r.Payload)) > t.maxBytes {\n", "	if taken.bytes > t.maxBytes {\n"},
	{"bytes are not given back", "table.go", "	t.bytes -= int64(len(r.Payload))\n", ""},
	{"a share is not given back", "table.go", "	t.limits.Return(r.share)\n", ""},
	{"a heap that is none", "table.go", "	d[i].place, d[j].place = i, j\n", ""},
	{"expired a little late", "table.go", "now < t.byTime[0].Deadline {", "now <= t.byTime[0].Deadline {"},

	{"a tenant takes all slots", "slots.go", "s.by[tenant]+n > s.most/4", "s.by[tenant]+n > s.most"},
	{"a slot too many", "slots.go", "s.taken+n > s.most ||", "s.taken > s.most ||"},
	{"slots of a tenant are not given back", "slots.go", "	if s.by[tenant] -= n; s.by[tenant] == 0 {\n", "	if s.by[tenant] -= n - 1; s.by[tenant] == 0 {\n"},
	{"tenants are remembered for ever", "slots.go", "		delete(s.by, tenant) // names may be made up\n", ""},

	{"earlier workers are forgotten", "request.go", "		r.before = append(r.before, r.Worker)\n", ""},
	{"anybody runs generated inputs", "request.go", "	return r.Worker == worker ||", "	return r.Worker == worker || r.Generated ||"},
	{"anybody runs them before the first dispatch", "request.go", "	return r.Worker == worker ||", "	return r.Worker == worker || r.Worker == \"\" && r.Generated ||"},
	{"a question has a budget", "request.go", "Budget:    r.Deadline.Sub(now),", "Budget:    max(1, r.Deadline.Sub(now)),"},

	{"a limit's last request is refused", "../quota/ledger.go", "	case a.requests+1 > l.Requests:\n", "	case a.requests+1 >= l.Requests:\n"},
	{"a limit and one more", "../quota/ledger.go", "	case a.requests+1 > l.Requests:\n", "	case a.requests > l.Requests:\n"},
	{"bytes beyond a limit", "../quota/ledger.go", "	case bytes > l.Bytes-a.bytes:\n", "	case false:\n"},
	{"bytes of a share stay", "../quota/ledger.go", "			a.bytes += sign * s.bytes\n", "			a.bytes += max(0, sign) * s.bytes\n"},
	{"what is refused is taken", "../quota/ledger.go", "		if e := share.model.check(ofModel, bytes, \"model\", model); e != nil {\n			return Share{}, e\n", "		if e := share.model.check(ofModel, bytes, \"model\", model); e != nil {\n			share.add(1)\n			return Share{}, e\n"},
	{"no token is spent", "../quota/ledger.go", "			a.tokens--\n", ""},
}

// TestPlantedPlaces: make lint asks, so that a change of the code takes its faults along.
func TestPlantedPlaces(t *testing.T) { planted.Places(t, faults) }

// TestPlantedBugs has the worlds look for each fault.
func TestPlantedBugs(t *testing.T) { planted.Find(t, faults, "-test.run", "TestWorld") }
