// Package measure is the decision core of a profiler, a pure state machine. It
// decides which unit is measured next and on which GPU, how to treat failed and
// missing results, how samples become a profile, and when a job is done.
// services/profiler and the simulator drive it; recordings replay it.
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
// for each Store, whether it succeeded or failed; a Read may be outdated when
// its answer arrives. Actions, results, progress and reports may get lost. The
// slices of an Output are valid until the next Step.
//
// # A job
//
// A unit is one model on one GPU type; copies of a model, which share its
// digest, are one unit. Units whose profile is complete, in the job or in the
// store, are not measured. The others wait in order of their models' names.
// Units that have cost GPUs come last, so that the others are measured and
// stored first. A free GPU takes the first unit of its type that fits into its
// pages, removes whatever an interrupted measurement left on it (ClearCache),
// measures LoadWeights, then each batch size after one run that is not sampled,
// and evicts the weights. Each measurement is stored at once; its GPU continues
// when the store has succeeded or failed. At most one action is outstanding at
// each GPU.
//
// A job ends with a report once each unit has a profile or a verdict. It ends
// unfinished, without a report, if a unit still needs GPUs that were lost. That
// says nothing against the model: the issuer of the job sends it again. A job
// with another id replaces the current job, whose finished measurements are
// stored.
//
// # Failures
//
//   - An action that is refused, or that fails in the backend, is sent again, up to
//     maxFailures times in a row. Then its unit gets a verdict. A ClearCache says nothing
//     about the model: it counts against the GPU.
//   - A worker that obeys a newer epoch, or that is another incarnation, is lost to the
//     job: the next job names its epoch.
//   - An action without a result within ActionTimeout costs its unit one try. The unit
//     waits again. The GPU continues with the next unit, which begins with ClearCache and
//     thereby shows whether the GPU still works.
//   - A GPU on which ClearCache fails maxJams times in a row is hung. Only the unit being
//     measured when the GPU stopped giving results is blamed; reports name it. In a later
//     job the same incarnation's GPU hangs again after a single failure.
//   - A lost worker ends the use of its GPUs in this job and costs each unit being measured
//     on them one try. A replacing job without a worker that is measuring has the same
//     effect.
//   - An action keeps its timeout when its job is replaced: it ends, or it costs its unit a
//     try. Until then its GPU and its unit are not used again.
//   - A unit that has cost more than maxTries GPUs, over all jobs since it was last reported
//     or measured, gets a verdict.
//
// The package does not encode, store, publish, log, hold a lease, or decide when
// a GPU may be used for measuring.
package measure
