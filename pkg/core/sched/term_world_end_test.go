package sched

import (
	"maps"
	"slices"
	"time"
)

// checkLate: in a world whose schedulers are well, what is owed to the clients of dead front
// doors comes soon.
func (w *termWorld) checkLate() {
	for _, d := range w.doors {
		if !d.dead || w.rough {
			continue
		}
		for _, seq := range slices.Sorted(maps.Keys(d.open)) {
			switch r := d.open[seq]; {
			case r.answers > 0 || r.excused:
				delete(d.open, seq)
			case w.Now > max(r.deadline, d.died).Add(4*time.Second):
				w.broken("G1: request %d of front door %d, dead since %v, has no answer; its deadline was %v", seq, d.id, d.died, r.deadline)
			}
		}
	}
}

// checkEnd looks at a world in which all has been well for a while.
func (w *termWorld) checkEnd() {
	if w.fault != "" {
		return
	}
	for _, r := range w.requests { // map order does not matter: any of them
		if r.answers == 0 && !r.excused {
			w.broken("G1: request %d of front door %d was never answered; front door dead %v", r.seq, r.door.id, r.door.dead)
		}
	}
	if leads := w.leader(); leads != nil {
		w.checkMembers(leads)
		w.checkLedgers(leads.term)
	}
}

// leader is the one scheduler that is active.
func (w *termWorld) leader() (leads *wScheduler) {
	for _, s := range w.schedulers {
		if s.term == nil || !s.term.Active() {
			continue
		}
		if leads != nil {
			w.broken("G7: two schedulers are active in peace")
		}
		leads = s
	}
	if leads == nil {
		w.broken("G7: no scheduler is active in peace")
	}
	return leads
}

// checkMembers: every worker belongs, in its present incarnation, and nobody is waited for.
func (w *termWorld) checkMembers(leads *wScheduler) {
	t, serving := leads.term, 0
	for _, x := range w.workers {
		obeys, incarnation := x.core.Core.Heartbeat().Epoch, x.core.Incarnation()
		switch {
		case x.liar:
			continue
		case t.Has(x.id, incarnation):
			serving++
		case obeys > t.Epoch():
			continue // a forged order; it comes back with the next scheduler, if others serve now
		}
		// An announcement that came too late may stay: of an incarnation that is no more.
		if t.workers.joining[x.id].Incarnation >= incarnation {
			w.broken("G11: %s#%d still waits\n%v", x.id, incarnation, t)
		}
		if !t.Has(x.id, incarnation) || leads.books.members[x.id].incarnation != incarnation {
			w.broken("G7: %s#%d does not belong in peace\n%v", x.id, incarnation, t)
		}
	}
	if serving == 0 {
		w.broken("G7: nobody serves in peace\n%v", t)
	}
	for id := range t.workers.away {
		if x := w.worker(id); !x.liar && x.core.Core.Heartbeat().Epoch <= t.Epoch() {
			w.broken("G11: %s is missed in peace\n%v", id, t)
		}
	}
}

// checkLedgers: no front door has requests without an answer, nor are any counted.
func (w *termWorld) checkLedgers(t *Term) {
	if t.doors.waiting != 0 {
		w.broken("G11: the books are not empty in peace: %d wait\n%v", t.doors.waiting, t)
	}
	sum := 0
	for _, of := range t.doors.ledgers {
		sum += len(of.clients)
	}
	if sum != t.doors.waiting {
		w.broken("G11: %d are counted, %d wait", t.doors.waiting, sum)
	}
}
