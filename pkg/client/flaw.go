package client

import (
	"cmp"
	"math"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// A flaw is what a reply cannot have that is Clockwork's: a field that each has is missing,
// or a value is one that nothing of ours can have. Fields that are not checked may hold
// anything, so that newer stacks can add to them.

// The bounds of what is believed. They are far from what a stack can say.
const (
	mostMS    = float64(protocol.MaxSpan / time.Millisecond) // a time, in milliseconds
	firstYear = 2000
	lastYear  = 2199 // a time.Duration reaches from any of these years to any other
)

// isSpan reports whether each of these can be a time that something took, in milliseconds.
func isSpan(ms ...float64) bool {
	return !slices.ContainsFunc(ms, func(v float64) bool { return !(v >= 0 && v <= mostMS) })
}

// isCount reports whether each of these can be a number of things.
func isCount(counts ...int) bool {
	return !slices.ContainsFunc(counts, func(n int) bool { return n < 0 || n > protocol.MaxCount })
}

// isDate reports whether it can be a time of this stack.
func isDate(t time.Time) bool { return t.Year() >= firstYear && t.Year() <= lastYear }

// firstFlaw returns the first flaw in a list.
func firstFlaw[T any](list []T, flaw func(*T) string) string {
	for i := range list {
		if why := flaw(&list[i]); why != "" {
			return why
		}
	}
	return ""
}

// areNames reports whether each of these can be the name of a model or a worker.
func areNames(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return !protocol.ValidName(name) })
}

func errorFlaw(refusal *protocol.Error) string {
	switch {
	case !isSpan(refusal.RetryMS, refusal.BufferedMS) || math.IsNaN(refusal.EarliestMS) || math.IsNaN(refusal.BudgetMS): // the earliest may be never
		return "a time in the error is none that can be"
	case refusal.Got < 0 || refusal.Limit < 0:
		return "the error has a limit that can be none"
	}
	return workersFlaw(refusal.Workers)
}

// workersFlaw is of errors by worker.
func workersFlaw(errors []protocol.WorkerError) string {
	return firstFlaw(errors, func(w *protocol.WorkerError) string {
		if !areNames(w.Worker) || w.Code == "" {
			return "it has a worker's error without the worker, or without a code"
		}
		return ""
	})
}

func responseFlaw(r *protocol.InferResponse) string {
	if !areNames(r.ModelName) {
		return "it names no model"
	}
	return cmp.Or(parametersFlaw(&r.Parameters), firstFlaw(r.Outputs, outputFlaw))
}

func parametersFlaw(p *protocol.ResponseParameters) string {
	ms := func(us int64) float64 { return float64(us) / 1000 }
	switch {
	case p.BatchSize < 1 || !isCount(p.BatchSize):
		return "it has no batch size"
	case !isSpan(p.BufferedMS, ms(p.LatencyUS), ms(p.SchedulerUS), ms(p.QueueUS), ms(p.InputUS), ms(p.ExecUS), ms(p.OutputUS)):
		return "it took a time that can be none"
	}
	return ""
}

func outputFlaw(t *protocol.Tensor) string {
	if size := t.Datatype.Size(); t.Name == "" || size == 0 || protocol.Elements(t.Shape) != int64(len(t.Data))/size || int64(len(t.Data))%size != 0 {
		return "it has an output without name or datatype, or with other data than its shape says"
	}
	return ""
}

func loadFlaw(r *protocol.LoadReply) string {
	n := len(r.Models)
	switch {
	case n == 0 || !areNames(r.Models...):
		return "it names no model"
	case r.Copies < 1 || r.Copies > protocol.MaxCopies || n != 1 && n != r.Copies:
		return "it has another number of copies than of names"
	case !isCount(r.Pages, r.Version, r.MoreChanged):
		return "it has a number of pages, of a version or of workers that can be none"
	case !areBatchSizes(r.BatchSizes):
		return "it has no batch sizes"
	}
	return cmp.Or(firstFlaw(r.Inputs, specFlaw), firstFlaw(r.Outputs, specFlaw), workersFlaw(r.Changed))
}

// areBatchSizes: they ascend from 1.
func areBatchSizes(sizes []int) bool {
	return len(sizes) > 0 && sizes[0] == 1 && slices.IsSorted(sizes) && isCount(sizes...)
}

func specFlaw(s *protocol.TensorSpec) string {
	if n := protocol.Elements(s.Shape); s.Name == "" || s.Datatype.Size() == 0 || n < 1 || n > protocol.MaxCount {
		return "it has an input or output without a name, a datatype or a shape"
	}
	return ""
}

func listFlaw(l *protocol.ModelList) string {
	switch {
	case l.Models == nil:
		return "it has no list of models"
	case !isCount(l.Total):
		return "it has a number of models that can be none"
	}
	return firstFlaw(l.Models, modelFlaw)
}

func modelFlaw(m *protocol.ModelState) string {
	switch {
	case !areNames(m.Name) || m.Path == "":
		return "it has a model without a name or a path"
	case !areBatchSizes(m.BatchSizes):
		return "it has a model without batch sizes"
	case m.WeightsBytes < 0 || !isCount(m.Pages, m.Version, m.MoreLacking):
		return "it has a model with a negative size or number"
	}
	return cmp.Or(firstFlaw(m.Inputs, specFlaw), firstFlaw(m.Outputs, specFlaw), firstFlaw(m.Profile, profileFlaw), workersFlaw(m.Lacking))
}

func profileFlaw(p *protocol.Profile) string {
	bad := func(b protocol.BatchMeasurement) bool {
		return b.Batch < 1 || !isCount(b.Batch) || !isMeasured(&b.Measurement)
	}
	if p.GPUType == "" || !isMeasured(&p.LoadWeights) || slices.ContainsFunc(p.Infer, bad) {
		return "it has a profile without a type of GPU, or with times that can be none"
	}
	return ""
}

func isMeasured(m *protocol.Measurement) bool {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) } // not rounded: -1ns is none
	return isCount(m.Samples) && isSpan(ms(m.Min), ms(m.P50), ms(m.P99), ms(m.Max))
}

func stateFlaw(s *protocol.StackState) string {
	switch {
	case s.Stage == 0:
		return "it names no stage"
	case !isDate(s.Since):
		return "it does not say since when the stage lasts"
	case s.Scheduler == "" || s.Profiler == "" || s.FrontDoor == "":
		return "it says nothing of a scheduler, a profiler, or a front door"
	case s.CountdownMS != nil && !isSpan(*s.CountdownMS):
		return "its countdown can be none"
	case s.PageSize < 0 || !isCount(s.GPUsServing, s.ModelsServed, s.ModelsUnavailable, s.ModelsRefused, s.Buffered, s.WorkerCount, s.ModelCount, s.QuarantinedCount, s.GPUsStalled):
		return "it has a number that can be none"
	case s.Workers == nil || s.Models == nil:
		return "it has no list of workers, or of models"
	}
	return cmp.Or(firstFlaw(s.Workers, workerFlaw), firstFlaw(s.Models, modelFlaw))
}

func workerFlaw(w *protocol.WorkerState) string {
	switch {
	case !areNames(w.ID) || w.Backend == "":
		return "it has a worker without a name or a backend"
	case w.PageSize < 0:
		return "it has a worker with pages of a negative size"
	case slices.ContainsFunc(w.Lacks, func(l protocol.Lack) bool { return !areNames(l.Model) || l.Code == "" }):
		return "it has a worker that lacks a model without a name, or without a code"
	}
	return firstFlaw(w.GPUs, func(g *protocol.GPUState) string {
		if g.Type == "" || !isCount(g.ID, g.PagesTotal, g.PagesUsed) || !areNames(g.Models...) || !areNames(g.Moving...) {
			return "it has a GPU without a type, or with pages or models that can be none"
		}
		return ""
	})
}

func eventFlaw(e *protocol.Event) string {
	if e.Kind == "" || !isDate(e.At) || !isCount(e.Done, e.Total) || !isSpan(e.LeftMS) {
		return "it is no event"
	}
	return ""
}
