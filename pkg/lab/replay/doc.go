// Package replay runs a recording through the scheduler's core again.
//
// Verify gives a term with the recorded policy and configuration the recorded
// events, and compares the hashes of what it decides with those of the
// recording: same decisions byte for byte, or where they part.
//
//	verdict, err := replay.Verify(reader)
//
// Emulate asks what another policy or configuration would have done. The
// recorded results do not fit its actions; so the workers are emulated. Taken
// from the recording are the arrivals, the activation, the workers that joined
// and were lost, and the front doors that were lost, each at its time, until
// the recording ends. The workers are those of pkg/core/work/virtual, whose lanes and
// pages are the production worker's. How long an execution or a transfer
// takes is what the recording measured of the same model, batch size and type of
// GPU, one measurement after the other; for a batch size that was never run the
// profile times how the model's other sizes stood to it. Messages take the
// recording's median. Not emulated are failures of workers, closed loops (the
// recording's arrivals come whatever is answered), and what a worker that was
// lost did not do in the time before.
//
//	material := replay.NewMaterial()
//	verdict, err := replay.Verify(reader, material)
//	outcome, err := material.Emulate("faithful", config)
//	apart := replay.Settle(&verdict.Outcome, outcome)
//
// An emulation ends when its recording does, so both leave requests open, and
// not the same ones. Settle takes those out of the counts of both.
//
// The command line calls it. It is pure and has no lock: one goroutine owns
// each of its values.
package replay
