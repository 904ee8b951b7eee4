// Package emulation is a worker without hardware: its rules for actions, the
// lanes of pkg/core/executor and the pages of pkg/core/pages as they run in production,
// on GPUs that only take time.
//
// The simulator and the replay drive it. They are its World: they say what time
// it is, how long an execution or a transfer takes, and carry what it answers.
//
//	w := emulation.NewWorker("w0", 1, world)
//	w.AddGPU("v100", 1376)
//	o := &emulation.Order{Worker: w, Action: action, Model: model, Earliest: ..., Latest: ...}
//	o.Await(len(action.Requests))
//	w.Receive(o)     // the action is there
//	w.Stage(o, 0)    // and the first input of it
//	w.End(o)         // when World.EndIn asked for it
//	gpu.Wake(lane)   // when World.WakeIn asked for it
//
// It is pure and has no lock: one goroutine owns a worker. It sends nothing, has
// no clock and no dice, and does not know models in host memory: an order brings
// its model along.
package emulation
