package cli

import "clockwork/pkg/protocol"

// hints tell people what to do next, in terms of this command line; the codes and
// messages are for every client. Codes without a hint need none.
var hints = map[protocol.Code]string{
	protocol.UnknownModel:       "clockwork ls lists the models; copies are called NAME-1, NAME-2, ...",
	protocol.LoadingClosed:      "To serve other models begin anew: stop the stack, remove its --data directory, start it, load.",
	protocol.BufferTimeout:      "clockwork state says what the stack waits for.",
	protocol.SchedulerLost:      "clockwork state says whether a scheduler is there; clockwork scheduler starts one.",
	protocol.DeadlineUnmeetable: "A longer --slo may be met.",
	protocol.ModelNotFound:      "A path is zoo/NAME for an emulated model, or NAME of a directory below --models of every worker.",
	protocol.InvalidModelPath:   "A path is zoo/NAME for an emulated model, or NAME of a directory below --models of every worker.",
	protocol.ModelTooLarge:      "Workers with more --pages hold larger models.",
	protocol.PermissionDenied:   "docs/security.md lists what each role may do: load, init, top and explain are the operator's (--nkey operator.nk).",
	protocol.NoMemory:           "Load fewer copies, or start the workers with more --pages.",
	protocol.LoadTimeout:        "clockwork state says whether workers are there; the controller's --load-timeout gives them longer.",
}
