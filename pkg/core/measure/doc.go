// Package measure is what a profiler decides, as a pure state machine: what is
// measured next and on which GPU, what a failed or missing result means, how
// samples become a profile, and when a job is done. services/profiler and the
// simulator drive it; nobody else calls it.
//
// One caller at a time owns a Machine. It has no clock: time is an argument, and
// Config plus the same sequence of (now, event) give the same outputs, always.
//
//	m, err := measure.New(config)
//	out := m.Step(now(), measure.JobGiven{Job: job})
//	for {
//		for _, a := range out.Actions { publish(subjects.Action(a.Worker), a.Action) }
//		if out.Read != nil { go read(*out.Read) }            // -> ProfilesRead
//		for _, s := range out.Store { go put(s) }            // -> ProfileStored
//		for _, e := range out.Progress { publish(subjects.Event(e.Kind), e) } // with At
//		if out.Report != nil { publish(subjects.ProfilerReport(), out.Report) }
//		select {
//		case e := <-events:
//			out = m.Step(now(), e)
//		case <-wakeAt(out.Wake):
//			out = m.Step(now(), measure.Tick{})
//		}
//	}
//
// The shell owes exactly one ProfilesRead for each Read and one ProfileStored
// for each Store, whether it went well or not; a Read may be out of date when its
// answer comes. Actions, results, progress and reports may get lost. The slices
// of an Output are valid until the next Step.
//
// # A job
//
// A unit is one model on one type of GPU; copies of a model, which have its
// digest, are one unit. Units whose profile is complete, in the job or in the
// store, are not measured. The others wait in the order of their models' names,
// those that cost GPUs before last: they must not keep the others from being
// measured and stored. A GPU that is free takes the first unit of its type that
// fits into its pages, drops whatever an interrupted measurement left on it
// (ClearCache), measures LoadWeights, then each batch size after one run that
// does not count, and evicts. What is measured is stored at once, and its GPU
// goes on when that was tried. At most one action is outstanding at each GPU.
//
// A job ends with a report once each unit has a profile or a verdict; or it ends
// unfinished, without a report, when GPUs were lost that a unit still needs. That
// says nothing against the model: whoever gave the job gives it again. A job with
// another id replaces the one at work; what that measured is stored.
//
// # What goes wrong
//
//   - An action that is refused, or failed in the backend, is sent again, up to
//     maxFailures times in a row. Then its model gets a verdict.
//   - An action without a result within ActionTimeout leaves its GPU in doubt and
//     costs the unit one of its tries. The unit goes back to the others, and the
//     GPU goes on with the next, which begins with ClearCache: that tells whether
//     the GPU works still.
//   - A GPU that cannot be cleared maxJams times in a row is hung. No unit is to
//     blame but the one after which the GPU gave no more results, which reports
//     name. In a later job, the same incarnation's GPU is given one chance alone.
//   - A worker that is lost ends its GPUs for this job, and costs the unit that
//     each of them measured one of its tries. A job that replaces this one, and
//     has no part for a worker which is measuring, says the same of it.
//   - The time of an action goes on when its job is replaced: it ends, or costs
//     its unit a try; and the GPU and the unit wait that long before they are used
//     again.
//   - A unit that cost more than maxTries GPUs, over all jobs since it was last
//     reported or measured, gets a verdict.
//
// It does not encode, store, publish, log, hold a lease, or decide when a GPU may
// be used for measuring.
package measure
