package sched

// termHappened counts what a world's faults did.
type termHappened struct {
	requests, ok, owed, taken, yours, none, takeovers, twoLead, missed, asked, fenced, lateJoins, lies, doorLies, forged, lost, unheeded, claims int
	transfers, executors, steps, stops, lacking                                                                                                  int
}

var termWorlds termHappened

// counts are all of them, by name.
func (h *termHappened) counts() map[string]int {
	counts := map[string]int{}
	for what, n := range h.each() {
		counts[what] = *n
	}
	return counts
}

func (h *termHappened) each() map[string]*int {
	return map[string]*int{"requests": &h.requests, "ok": &h.ok, "owed": &h.owed, "taken": &h.taken, "yours": &h.yours, "none": &h.none, "takeovers": &h.takeovers,
		"two lead": &h.twoLead, "missed": &h.missed, "asked": &h.asked, "fenced": &h.fenced, "late joins": &h.lateJoins, "lies": &h.lies, "lies of doors": &h.doorLies,
		"forged": &h.forged, "store lost": &h.lost, "unheeded": &h.unheeded, "lost claims": &h.claims, "transfers": &h.transfers, "executors": &h.executors,
		"clock steps": &h.steps, "stops": &h.stops, "lacking": &h.lacking}
}

func (h *termHappened) add(o termHappened) {
	more := o.each()
	for what, n := range h.each() {
		*n += *more[what]
	}
}
