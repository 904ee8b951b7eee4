package explain

import (
	"fmt"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// chain collects links; times in it are of the core.
type chain struct {
	start protocol.Time
	links []Link
}

func (c *chain) add(at protocol.Time, format string, args ...any) {
	c.links = append(c.links, Link{at.Sub(c.start), fmt.Sprintf(format, args...)})
}

// ms prints a duration as the refusals do.
func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/1e6) }

func many(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	if strings.HasSuffix(noun, "ch") {
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// explain tells a request's story as far as it is known now.
func (f *follower) explain(r *request, outcome string, cause Cause) *Explanation {
	c := &chain{start: f.start}
	f.tellArrival(c, r)
	for _, a := range r.tries {
		f.tellTry(c, r, a)
	}
	switch {
	case r.refusal != nil:
		f.tellWait(c, r)
		c.add(f.now, "refused %s: %s", r.refusal.Code, r.refusal.Message)
	case outcome == doorLost:
		c.add(f.now, "its front door was lost, and with it whoever waited for the answer")
	}
	return &Explanation{
		ID: r.ID.String(), Core: f.core, Model: r.Model, Outcome: outcome, Cause: cause,
		Chain: c.links, Saved: f.saved(r, cause),
	}
}

func (m *mirror) tellArrival(c *chain, r *request) {
	v := &r.arrival
	text := fmt.Sprintf("arrived with %s", ms(r.Budget))
	if r.Elapsed > 0 {
		text += fmt.Sprintf(" left of %s", ms(r.Elapsed+r.Budget))
	}
	if r.Batch != 1 {
		text += fmt.Sprintf(", %d items", r.Batch)
	}
	if v.ahead > 0 {
		text += fmt.Sprintf("; %s of its model waited already", many(v.ahead, "request"))
	}
	c.add(r.arrived, "%s", text)
	if v.gpus == 0 {
		if r.model.known {
			c.add(r.arrived, "no GPU was there that can hold the model")
		}
		return
	}
	m.tellLanes(c, r)
}

// tellLanes says where the model was, and what that means.
func (m *mirror) tellLanes(c *chain, r *request) {
	v := &r.arrival
	need := m.held(v)
	switch {
	case v.resident > 0:
		c.add(r.arrived, "model on %s of %d; execution lane of %s", many(v.resident, "GPU"), v.gpus, v.lane.text("execution"))
	case v.loading.on != nil:
		need = m.coldBusy(v)
		c.add(r.arrived, "model cold, its weights on their way to %s: there in %s", v.loading.on.name, ms(v.loading.left))
	default:
		need = m.coldBusy(v)
		c.add(r.arrived, "model cold, on none of %s; transfer lane of %s; a transfer takes %s", many(v.gpus, "GPU"), v.transfer.text("transfer"), ms(v.load))
	}
	text := ""
	if early := r.Budget - m.target(r.Budget); early > 0 {
		text = fmt.Sprintf(", %s before the deadline", ms(early))
	}
	c.add(r.arrived, "an execution takes %s: earliest finish %s after arrival, wanted at %s%s", ms(v.exec), ms(r.Elapsed+need), ms(r.Elapsed+m.target(r.Budget)), text)
}

// text says how a lane stands.
func (b *busy) text(what string) string {
	if b.open == 0 {
		return b.on.name + " free"
	}
	text := fmt.Sprintf("%s busy %s with %s", b.on.name, ms(b.left), b.with)
	if b.open > 1 {
		text += fmt.Sprintf(" and %s more", many(b.open-1, what))
	}
	return text
}

// tellTry says what became of an action.
func (m *mirror) tellTry(c *chain, r *request, a *action) {
	c.add(a.sent, "sent to %s with %s, at batch size %d; to end %s", a.gpu.name, others(a.size-1), a.batch, side(r, a.planned))
	took := a.end.Sub(a.begin)
	switch {
	case a.lost:
		c.add(a.end, "%s was lost", a.gpu.worker)
	case a.code == "":
		return
	case a.code != protocol.OK:
		m.tellBefore(c, a)
		c.add(a.end, "%s answered %s", a.gpu.worker, a.code)
	default:
		if a.begin.Add(a.expected) > r.deadline {
			m.tellBefore(c, a)
		}
		c.add(a.begin, "began; took %s, expected were %s", ms(took), ms(a.expected))
		c.add(a.end, "ended %s", side(r, a.end))
	}
}

func others(n int) string {
	if n == 0 {
		return "no other"
	}
	return many(n, "other")
}

// side says on which side of the deadline a time is.
func side(r *request, at protocol.Time) string {
	if at > r.deadline {
		return ms(at.Sub(r.deadline)) + " after the deadline"
	}
	return ms(r.deadline.Sub(at)) + " before the deadline"
}

// tellBefore says what held up an action's lane.
func (m *mirror) tellBefore(c *chain, a *action) {
	w := m.work(&a.gpu.execs, a.model.name, a.sent, a.end)
	if w.slowest != nil && w.slowest != a {
		s := w.slowest
		c.add(min(s.end, a.end), "an execution of %s before it took %s, expected were %s", s.model.name, ms(s.end.Sub(s.begin)), ms(s.expected))
	}
}

// tellWait says what the lanes that mattered did while a request waited: the
// transfer lane until its weights were there, then the execution lane.
func (m *mirror) tellWait(c *chain, r *request) {
	if m.now.Sub(r.arrived) < 100*time.Microsecond || len(r.tries) > 0 {
		return
	}
	v, load := &r.arrival, m.cameTo(r)
	switch {
	case v.lane.on != nil:
		m.tellWork(c, r, v.lane.on, protocol.Infer, r.arrived, m.now)
	case load != nil:
		m.tellWork(c, r, load.gpu, protocol.LoadWeights, r.arrived, load.end)
		c.add(load.end, "its weights came to %s %s", load.gpu.name, side(r, load.end))
		m.tellWork(c, r, load.gpu, protocol.Infer, load.end, m.now)
	case v.loading.on != nil:
		m.tellWork(c, r, v.loading.on, protocol.LoadWeights, r.arrived, m.now)
	case v.transfer.on != nil:
		m.tellWork(c, r, v.transfer.on, protocol.LoadWeights, r.arrived, m.now)
	}
}

// tellWork says what one lane did in a span of time.
func (m *mirror) tellWork(c *chain, r *request, on *gpu, kind protocol.Kind, from, to protocol.Time) {
	w := m.work(on.lane(kind), r.Model, from, to)
	if w.actions == 0 {
		return
	}
	did := "ran " + many(w.actions, "batch")
	if kind != protocol.Infer {
		did = "made " + many(w.actions, "transfer")
	}
	text := fmt.Sprintf("in %s %s %s, busy %s", ms(to.Sub(from)), on.name, did, ms(w.all))
	if w.ownTime > 50*time.Microsecond { // what would be 0.0 ms is no news
		text += fmt.Sprintf(", %d of this model (%s)", w.own, ms(w.ownTime))
	}
	switch {
	case w.models == 1:
		text += fmt.Sprintf(", for %s (%s)", w.most, ms(w.mostTime))
	case w.models > 1:
		text += fmt.Sprintf(", for %d other models, most for %s (%s)", w.models, w.most, ms(w.mostTime))
	}
	c.add(to, "%s", text)
}
