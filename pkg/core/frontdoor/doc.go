// Package frontdoor is a front door's core: which messages become requests, which of
// them are served, stored until activation or refused, which scheduler is in charge,
// which worker may answer, and who gives each request its one answer, when and with
// which code (G1 to G3, G13).
//
// The service (services/frontdoor) drives it under one lock: decode, Step, send. One
// goroutine at a time owns a Machine; it has no clock: time is an argument, and the
// same events at the same times give the same outputs, always. Payloads are opaque.
//
//	m := frontdoor.New(config)
//	out := m.Step(now(), &frontdoor.Inbound{Model: model, Reply: reply, Bytes: n})
//	// out.Admitted is to be decoded, beside other work if Slow -> Decoded or Undecoded
//	// out.Store goes into the startup buffer                    -> Stored
//	// out.Submit, out.Ask go to the scheduler                   -> Dispatched
//	// out.Withdraw go there as well, after their submissions    -> Dispatched
//	// out.Inputs, out.LargeInput go to workers                  -> OutputArrived, InputSent
//	// out.Claim are taken out of the startup buffer and read    -> Claimed
//	// out.Ended are answered: first claimed at the scheduler if Claim is set. SentAt
//	// says which OK cannot be sent as it was decided            -> Unsent
//	// wakeAt(out.Wake)                                          -> Tick
//
// The driver owes exactly one event for each Admitted, Store and Claim, however it
// ended, and sends the claim of an answer before the answer, on the same connection.
// It reports a Connection before events that arrived after a reconnect.
// A Request belongs to the Machine until it is given out in Ended; Request.Driver is
// the driver's own. Functions of this package that take no Machine (Layout, ReadSLO,
// Outputs) are pure and may be called without the lock.
//
// The package does not decode, send, log, measure, or choose a GPU.
package frontdoor
