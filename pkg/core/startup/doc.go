// Package startup is the startup phase as a pure state machine: it queries the
// workers, accepts loads, counts down, has every model profiled, and activates
// the scheduler. The controller's shell, the simulator and the replay of recordings
// drive it.
//
// One goroutine at a time owns a Machine. It has no clock: time is an argument, and
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
//		if out.Confirm { go confirm() }                   // -> Fenced, or nothing
//		if out.StartProfiling != nil { publish(subjects.ProfilerStart(), out.StartProfiling) }
//		if out.Activate != nil { publish(subjects.SchedulerStart(), out.Activate) }
//		for _, w := range append(out.JoinWorkers, out.JoinAgain...) { go join(w) } // -> JoinConfirmed, or nothing
//		for _, id := range out.DropWorkers { drop(id) }
//		for _, e := range out.Events { publish(subjects.Event(e.Kind), e) } // with At
//		if out.StepDown { return } // and begin anew from KV with a fresh Machine
//		// next: any other event, as it comes, or Tick at out.Wake
//		out = m.Step(now(), event)
//	}
//
// Within one output the order is: actions, replies, stores, stage. The shell
// owes exactly one ModelsStored or StoreFailed for each Store, one
// ModelsUnstored for each Unstore, however often the shell has to retry, and
// exactly one StageStored or StageConflict for each SetStage. Where another controller
// has taken the lead it owes Fenced instead, once. JoinWorkers may name a
// worker that the scheduler already knows; the same incarnation a second time
// changes nothing. Their Profiles are those that the scheduler may lack; the
// shell delivers them with the worker. They and everything else may get lost and
// are sent again.
//
// An action without a result is sent again. LoadModelFromDisk and ClearCache
// keep their id: a worker answers a finished action from memory and does not
// restart a running one (G8). GetWorkerState gets a new id, because workers do
// not remember states. Resending does not stop when the load is over: until the
// worker's result for a name is known, the machine sends that worker no other
// action for the name.
//
// Stages only move forward. A stage counts as reached only once the store
// confirmed it. From the moment SetStage(PROFILING) is output, every load is
// answered LOADING_CLOSED, so a load is either refused or profiled.
//
// A controller may stand still for any time, or be cut off, while another one leads.
// Nothing that it decided before, or decides before it learns of the other one, may take
// effect afterwards. Therefore every write of the store carries the fence of its lease,
// every message to a worker, profiler or scheduler carries the term of its lease, and a
// load is answered OK only after the store confirmed that this controller leads. The first
// refusal ends the machine.
//
// After a restart the machine finds the stage and the models in KV. Models that
// all workers hold but KV does not know are adopted and stored. Models that only
// some workers hold wait for a load that names them, and are removed when
// loading closes. A load whose store failed was refused, so the models it left
// in KV are removed before their names may be loaded again and before loading
// closes. Models that a controller left when it crashed during a store, or
// during such a removal, do not count and are removed likewise.
//
// The models quarantined on activation are written to KV before ACTIVE is, so
// that a restart in ACTIVE serves the same models.
//
// A profiling job that lost a worker is replaced by a job without that worker.
// Models that a job could not measure are shown as quarantined from its report
// on, and the next job of PROFILING tries them again. If profiling leaves no
// model that can be served, the stage stays PROFILING and a new job follows
// after ProfileRetry: activating nothing would close the stack for good, and a
// retry costs only time.
//
// A worker that cannot have a model as it was accepted lacks it, and serves the
// others. Its load is repeated, after LackRetry and then at growing pauses, so that
// a file that is put back is served without a restart; events model_missing and
// model_back tell it.
//
// A worker that arrives in ACTIVE with a GPU type without profiles is measured
// by a job of its own and then joins, with the profiles. Meanwhile an event
// worker_waits gives the reason why it is held back; worker_joined follows when
// it joins. It lacks what could not be measured on it. A worker that a scheduler
// may be using is not measured: one that obeyed an epoch, and, after a
// restart in ACTIVE, one that was present at the restart, until this machine
// activates a scheduler itself. What was not measured on one that obeyed an
// epoch it lacks, until it restarts or another of its kind was measured.
//
// The package does not encode, store, publish, log, buffer requests, or hold a
// lease.
package startup
