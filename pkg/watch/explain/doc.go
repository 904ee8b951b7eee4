// Package explain puts into words why requests were refused or missed their deadline,
// and what would have saved them.
//
// It computes no predictions of its own: a refusal's numbers, cause and what-if values
// come from the core (sched.Reason), and what happened to a request at workers comes
// from the observed events and outputs. An explanation therefore cannot contradict the
// decision.
//
// An Explainer observes the cores of a replay and keeps the explanations of the given
// requests:
//
//	x := explain.New(ids)
//	verdict, err := replay.Verify(reader, x)
//	for _, e := range x.Wanted() { fmt.Print(e) }
//	fmt.Print(x.Summary())
//
// A Live observes a running core (services/scheduler), in bounded memory. Both are
// sched.Observers, pure and without a lock: the owner of the core owns its observer.
//
// Each what-if assumes that nothing else had changed; what-ifs are independent of each
// other.
package explain
