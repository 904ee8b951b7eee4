package cli

import "clockwork/pkg/protocol"

// hints are what a person can do next, in the words of this command line; the
// codes and messages are for every client. A code without one speaks for itself.
var hints = map[protocol.Code]string{
	protocol.UnknownModel:       "clockwork ls lists the models; copies are called NAME-1, NAME-2, ...",
	protocol.LoadingClosed:      "To serve other models begin anew: stop the stack, remove its --data directory, start it, load.",
	protocol.BufferTimeout:      "clockwork state says what the stack waits for.",
	protocol.SchedulerLost:      "clockwork state says whether a scheduler is there; clockwork scheduler starts one.",
	protocol.DeadlineUnmeetable: "A longer --slo may be met.",
	protocol.ModelNotFound:      "A path is zoo/NAME for an emulated model, or NAME of a directory below --models of every worker.",
	protocol.InvalidModelPath:   "A path is zoo/NAME for an emulated model, or NAME of a directory below --models of every worker.",
	protocol.ModelTooLarge:      "Workers with more --pages hold larger models.",
	protocol.NoMemory:           "Load fewer copies, or start the workers with more --pages.",
	protocol.LoadTimeout:        "clockwork state says whether workers are there; the controller's --load-timeout gives them longer.",
}
