// Package explain puts into words why requests were refused or missed their deadline,
// and what would have saved them.
//
// It reckons nothing: a refusal's numbers, its cause and what would have saved it are
// the core's (sched.Reason), and what became of a request at workers is what was seen
// of it in events and outputs. So what is told cannot contradict what was decided.
//
// An Explainer observes the cores of a replay and keeps what it is asked for:
//
//	x := explain.New(ids)
//	verdict, err := replay.Verify(reader, x)
//	for _, e := range x.Wanted() { fmt.Print(e) }
//	fmt.Print(x.Summary())
//
// A Live observes a core that works (services/scheduler), in bounded memory. Both are
// sched.Observers, pure and without a lock: who owns the core owns them.
//
// What would have saved a request is said as if nothing else had changed; each saving
// stands alone.
package explain
