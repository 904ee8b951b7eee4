package client

import (
	"maps"
	"slices"

	"clockwork/pkg/protocol"
)

// What services publish of themselves while a client watches.

func statsFlaw(f *protocol.LiveStats) string {
	parts := 0
	flaw := ""
	if f.FrontDoor != nil {
		parts, flaw = parts+1, doorStatsFlaw(f.FrontDoor)
	}
	if f.Scheduler != nil {
		parts, flaw = parts+1, schedulerStatsFlaw(f.Scheduler)
	}
	if f.Worker != nil {
		parts, flaw = parts+1, workerStatsFlaw(f.Worker)
	}
	if parts != 1 || !isDate(f.At) || !isSpan(f.SpanMS) {
		return "it has no statistics of a service"
	}
	return flaw
}

const badStats = "it has statistics that can be none"

func doorStatsFlaw(d *protocol.FrontDoorStats) string {
	if _, known := protocol.ParseStage(d.Stage); !known || !isCount(d.InFlight, d.Models) || !areAnswers(d.Answers) || !isCount(slices.Collect(maps.Values(d.Codes))...) {
		return badStats
	}
	if slices.ContainsFunc(d.Busiest, func(m protocol.ModelStats) bool { return m.Model == "" }) {
		return badStats
	}
	return firstFlaw(append(slices.Clone(d.Busiest), d.Others), func(m *protocol.ModelStats) string {
		if !areAnswers(m.Answers) || !isCount(m.Cold) || !isSpan(float64(m.P50US)/1000, float64(m.P99US)/1000) {
			return badStats
		}
		return ""
	})
}

func areAnswers(a protocol.Answers) bool { return isCount(a.Served, a.Missed, a.Wrong) }

func schedulerStatsFlaw(s *protocol.SchedulerStats) string {
	if !isCount(s.Workers, s.Lacking, s.Queued, s.InFlight) || !isCount(slices.Collect(maps.Values(s.Copies))...) {
		return badStats
	}
	return firstFlaw(s.Lanes, func(l *protocol.LaneStats) string {
		if !areNames(l.Worker) || !isCount(l.GPU) || !isSpan(l.ExecMS, l.LoadMS) {
			return badStats
		}
		return ""
	})
}

func workerStatsFlaw(w *protocol.WorkerStats) string {
	if !isCount(w.InFlight, w.Models, w.Hidden) {
		return badStats
	}
	return firstFlaw(w.GPUs, func(g *protocol.GPUStats) string {
		if g.Type == "" || !isCount(g.GPU, g.PagesTotal, g.PagesUsed, g.Models, g.Batches, g.Items, g.Failed) || !isCount(g.Exec...) || !isCount(g.Load...) {
			return badStats
		}
		return ""
	})
}
