// Package startup is the startup phase as a pure state machine: it queries the
// workers, takes loads, counts down, has every model profiled, and activates
// the scheduler. The controller's shell drives it; nobody else calls it.
//
// One goroutine owns a Machine. It has no clock: time is an argument, and
// Config plus the same sequence of (now, event) give the same outputs, always.
//
//	m, err := startup.New(config)
//	out := m.Step(now(), startup.Started{Stage: stage, Models: models, Profiles: profiles})
//	for {
//		for _, a := range out.Actions { publish(subjects.Action(a.Worker), a.Action) }
//		for _, r := range out.Replies { answer(r.Token, r.Reply, r.Error) }
//		for _, s := range out.Store { go put(s) }         // -> ModelsStored or StoreFailed
//		for _, u := range out.Unstore { go remove(u) }    // -> ModelsUnstored
//		if out.SetStage != nil { go swap(out.Quarantined, *out.SetStage) } // -> StageStored or StageConflict
//		if out.StartProfiling != nil { publish(subjects.ProfilerStart(), out.StartProfiling) }
//		if out.Activate != nil { publish(subjects.SchedulerStart(), out.Activate) }
//		for _, w := range out.JoinWorkers { join(w) }
//		for _, id := range out.DropWorkers { drop(id) }
//		for _, e := range out.Events { publish(subjects.Event(e.Kind), e) } // with At
//		if out.StepDown { return } // and begin anew from KV with a fresh Machine
//		select {
//		case e := <-events:
//			out = m.Step(now(), e)
//		case <-wakeAt(out.Wake):
//			out = m.Step(now(), startup.Tick{})
//		}
//	}
//
// Within one output the order is: actions, replies, stores, stage. The shell
// owes exactly one ModelsStored or StoreFailed for each Store, one
// ModelsUnstored for each Unstore, however often that has to be tried, and
// exactly one StageStored or StageConflict for each SetStage. JoinWorkers are
// given once, and the machine cannot see whether they arrived; they may name a
// worker the scheduler knows, and the same incarnation a second time is no news.
// Their Profiles are those that the scheduler may lack, and have to reach it
// with the worker. Everything else may get lost and is asked again.
//
// An action of which no result comes is sent again: LoadModelFromDisk and
// ClearCache under the same id, which a worker answers from memory once it has
// ended, and does not begin again while it is at it (G8); GetWorkerState under
// a new one, since states are not remembered. That does not end with the load
// that it was part of: as long as nobody knows what a worker holds under a name,
// nothing else is asked of it under that name.
//
// Stages move forward only. A stage is held only once the store confirmed it.
// From the moment SetStage(PROFILING) is given out every load is answered
// LOADING_CLOSED, so a load is either refused or profiled.
//
// What a restart finds: the stage and the models of KV. Models that all
// workers hold but KV does not know are adopted and stored; those that only
// some hold wait for a load that names them, and are removed when loading
// closes. A load whose store failed was refused, so what it left in KV is
// removed before its names may be loaded again and before loading closes. What a
// controller left that died before the end of a store, or of such a removal,
// does not count, and is removed likewise.
//
// What is quarantined on activation stands in KV before ACTIVE does, so that a
// restart in ACTIVE serves the same models.
//
// A profiling job that lost a worker is replaced by one without it. Models that
// a job could not measure are shown as quarantined from its report on, and the
// next job of PROFILING tries them again. When profiling leaves no model that can be served, the stage stays
// PROFILING and a new job follows after ProfileRetry: activating nothing would
// close the stack for good, and a retry costs only time.
//
// A worker that comes in ACTIVE with a type of GPU without profiles is measured
// by a job of its own and joins then, with the profiles. Meanwhile an event
// worker_lost says what it is kept for; worker_joined follows when it joins. If
// a served model cannot be measured on it, it stays out for that life, and
// another worker_lost says why: the set of models is fixed, so no model is
// quarantined for it. Nor is a worker measured that a scheduler may have in
// hand, which is one that obeyed an epoch, and after a restart in ACTIVE, until
// this machine activates a scheduler itself, one that was there already.
//
// It does not encode, store, publish, log, buffer requests, or hold a lease.
package startup
