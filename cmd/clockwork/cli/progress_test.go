package cli

import (
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
	"clockwork/pkg/watch/terminal"
)

func TestEventsInPlainLines(t *testing.T) {
	var out strings.Builder
	w := &Progress{Display: terminal.New(&out, false, nil), workers: map[string]bool{}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, e := range []protocol.Event{
		{Kind: protocol.EventStage, Stage: "AWAITING_MODELS"},
		{Kind: protocol.EventWorkerJoined, Worker: "w1"},
		{Kind: protocol.EventWorkerJoined, Worker: "w1"}, // two services say so
		{Kind: protocol.EventLoad, Model: "m-1", Path: "m", Total: 1, Done: 1, Code: protocol.OK},
		{Kind: protocol.EventLoad, Model: "m-1", Path: "m", Total: 3, Done: 3, Code: protocol.OK},
		{Kind: protocol.EventLoad, Model: "x", Path: "x", Total: 1, Code: protocol.ModelNotFound, Message: "there is none"},
		{Kind: protocol.EventCountdown, LeftMS: 10000},
		{Kind: protocol.EventCountdown, Message: "stopped: a load is pending"},
		{Kind: protocol.EventProfile, Model: "m-1", Done: 1, Total: 2, Message: "weights 8ms"},
		{Kind: protocol.EventProfile, Model: "m-1", Done: 2, Total: 2, Message: "batch 1 2ms"},
		{Kind: protocol.EventQuarantine, Model: "m-1", Message: "its profile is zero"},
		{Kind: protocol.EventBlocked, Stage: "PROFILING", Message: "no profiler is connected"},
		{Kind: protocol.EventBlocked, Stage: "PROFILING"},
		{Kind: protocol.EventWorkerWaits, Worker: "w1", Message: "m-1 has no complete profile on t4; it is measured first"},
		{Kind: protocol.EventWorkerJoined, Worker: "w1"},
		{Kind: protocol.EventWorkerLost, Worker: "w1"},
	} {
		w.show(e, now)
	}
	command.Printed(t, `
AWAITING_MODELS  waiting for models to be loaded
worker w1 joined
loaded m-1
loaded 3 copies: m-1 to m-3
loading x failed: MODEL_NOT_FOUND: there is none
loading closes in 10.0 s unless another load comes
profiling 1/2 m-1 weights 8ms
profiling 2/2 m-1 batch 1 2ms
m-1 is not served: its profile is zero
PROFILING waits: no profiler is connected
PROFILING  nothing is missing any more
worker w1 is not used yet: m-1 has no complete profile on t4; it is measured first
worker w1 joined
worker w1 is gone
`, out.String())
}
