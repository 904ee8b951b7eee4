package startup

import "clockwork/pkg/protocol"

// elsewhere reports whether a model is served, and a worker that does not serve one that no
// other worker does.
func (w *world) elsewhere(id, model string) bool {
	served, alone := false, false
	for _, name := range sortedKeys(w.m.models) {
		others := 0
		for other, seen := range w.m.workers {
			others += b2i(other != id && seen.joined && seen.serves(name))
		}
		served = served || name == model && others > 0
		alone = alone || others == 0 && w.m.workers[id].serves(name)
	}
	return served && alone
}

// checkRenewal: who is told to begin anew holds what it lacks, and what it serves alone it leaves
// only for a model that nobody serves. One worker at a time does.
func (w *world) checkRenewal(id string) {
	seen, unserved, regained := w.m.workers[id], false, false
	for name, why := range seen.lacks {
		if why.Code != protocol.ModelUnavailable || !w.living[id].holds(name) {
			continue
		}
		regained = true
		unserved = unserved || !w.served(name, "")
	}
	alone := false
	for name := range w.m.models {
		alone = alone || seen.serves(name) && !w.served(name, id)
	}
	if !regained || alone && !unserved {
		w.fail("%s is to begin anew: it regained anything: %v, a model that nobody serves: %v, serves one alone: %v", id, regained, unserved, alone)
	}
	if was := w.anew; was != id && w.m.workers[was] != nil && !w.m.workers[was].joined && w.m.now < w.anewAt.Add(renewWait) {
		w.fail("%s is to begin anew, and %s does", id, was)
	}
	if w.anew != id {
		w.anew, w.anewAt = id, w.Now
	}
}

// served reports whether a worker that has joined serves a model, besides one.
func (w *world) served(model, besides string) bool {
	for id, seen := range w.m.workers {
		if id != besides && (seen.joined || besides == "") && seen.ready() && seen.serves(model) {
			return true
		}
	}
	return false
}
