// Package lane is the part of the worker core that starts actions: one lane of
// one GPU. A lane starts one action at a time, each within its window, or
// reports that the window has passed.
//
// A worker has two lanes per GPU, one for executions and one for weight
// transfers. It owns them under one lock and drives them like this:
//
//	out := lane.Step(now(), lane.Arrived{Task: task, Ready: inputsAreHere})
//	for _, e := range out.Expired { answer(e.ID, TOO_LATE or INPUT_MISSING) }
//	if out.Start != 0 { begin(out.Start) } // and Step(now(), Ended{}) when done
//	wakeAt(out.Wake)                       // then Step(now(), Tick{})
//
// Actions start in order of their earliest start, then of their arrival: the
// order that the sender wants. An action whose inputs are missing is skipped, so
// that it does not delay the others. No action starts before its earliest or
// after its latest time; an action that can no longer start expires at once,
// even behind an action that hangs.
//
// The package is pure: time is an argument; the same events at the same times
// give the same outputs. It has no notion of models, weights or devices.
package lane
