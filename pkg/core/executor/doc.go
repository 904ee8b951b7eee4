// Package executor is the worker's core: one lane of one GPU, which begins one
// action at a time, each within its window, or says that it cannot.
//
// A worker has two lanes per GPU, one for executions and one for weight
// transfers. It owns them under one lock and drives them so:
//
//	out := lane.Step(now(), executor.Arrived{Task: task, Ready: inputsAreHere})
//	for _, e := range out.Expired { answer(e.ID, TOO_LATE or INPUT_MISSING) }
//	if out.Start != 0 { begin(out.Start) } // and Step(now(), Ended{}) when done
//	wakeAt(out.Wake)                       // then Step(now(), Tick{})
//
// Actions begin in the order of their earliest begin, then of their arrival:
// the order in which whoever sent them wants them. One whose inputs are not
// there is passed over, for it must not make the others late. None begins
// before its earliest or after its latest; one that cannot any more expires at
// once, also behind an action that hangs.
//
// The package is pure: time is an argument; the same events at the same times
// give the same outputs. It knows nothing of models, weights or devices.
package executor
