package tsv

import (
	"log/slog"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// actionColumns are the columns of the action log. Durations are nanoseconds; all times
// but t are nanoseconds since the action was sent.
var actionColumns = []string{
	"t",           // when the result arrived or the action was given up: Unix time, as in the request log
	"action_id",   // unique per worker; its upper bits are the scheduler's epoch
	"action_type", // 1 LoadWeights, 2 Infer, 3 EvictWeights

	"status",     // statusNumbers
	"worker_id",  // number of the worker
	"gpu_id",     // the GPU's index in its worker
	"model_id",   // number of the model
	"batch_size", // items of the batch, without padding; 1 for other actions

	"expected_exec_duration", // predicted GPU time
	"worker_exec_duration",   // measured GPU time; 0 if the action did not run

	"expected_exec_complete", // when the GPU was planned to be done; 0 for an EvictWeights
	"worker_exec_complete",   // when it was done

	"expected_gpu_clock",      // MHz in the original; 0: not read
	"worker_gpu_clock_before", // the same
	"worker_gpu_clock",        // the same

	"worker_copy_output_complete", // when the outputs were copied off the GPU
	"worker_action_received",
	"worker_result_sent",
	"controller_result_enqueue",  // when the result reached the scheduler
	"controller_action_duration", // when the result was processed: the same instant here

	"goodput",         // the useful part of worker_exec_duration: all of it with status 0
	"requests_queued", // for this model, when the action was sent
	"copies_loaded",   // of this model, when the action was sent

	"code", // our own columns from here; "-": no result came
	"worker",
	"model",
	"epoch",
	"padded_batch_size", // at which an Infer ran
}

// Actions attaches an action log to a hub.
func Actions(c Config, hub *watch.Hub, log *slog.Logger) (*Log, error) {
	l, err := open(c, actionColumns, log.With("log", "actions"))
	if err != nil {
		return nil, err
	}
	hub.OnAction(func(a *watch.Action) { put(l, a, appendEnded) })
	hub.ReportLoss("action-log", l.Lost)
	return l, nil
}

func appendEnded(line []byte, a *watch.Action) []byte { return appendAction(line, time.Now(), a) }

// appendAction appends the line of an action that ended now.
func appendAction(line []byte, now time.Time, a *watch.Action) []byte {
	took := int64(a.Took())
	at := instantsOf(a)
	goodput, code := int64(0), protocol.Code("")
	if a.Result != nil {
		code = a.Result.Code
	}
	if code == protocol.OK {
		goodput = took
	}

	w := row{line}
	w.number(now.UnixNano())
	w.number(int64(a.ID))
	w.number(kindNumbers[a.Kind])

	w.number(statusNumber(a.Result))
	w.number(number(a.Worker))
	w.number(int64(a.GPU))
	w.number(number(a.Model))
	w.number(int64(items(a)))

	w.number(int64(a.Expected))
	w.number(took)

	w.number(at.expected)
	w.number(at.executed)

	w.number(0)
	w.number(0)
	w.number(0)

	w.number(at.copied)
	w.number(at.received)
	w.number(at.sent)
	w.number(int64(a.Ended.Sub(a.Sent)))
	w.number(int64(a.Ended.Sub(a.Sent)))

	w.number(goodput)
	w.number(int64(a.Plan.Queued))
	w.number(int64(a.Plan.Copies))

	w.text(string(code))
	w.text(a.Worker)
	w.text(a.Model)
	w.number(int64(a.Epoch))
	w.number(int64(a.Batch))
	return w.end()
}

// items returns the number of items of a batch, 1 for actions without a batch.
func items(a *watch.Action) int {
	n := 0
	for _, r := range a.Requests {
		n += r.Batch
	}
	if n == 0 {
		n = max(1, a.Batch)
	}
	return n
}

// instants count from when the action was sent; 0 for what did not happen.
type instants struct{ expected, executed, copied, received, sent int64 }

func instantsOf(a *watch.Action) (at instants) {
	since := func(t protocol.Time) int64 { return max(0, int64(t.Sub(a.Sent))) }
	if a.Kind != protocol.EvictWeights {
		at.expected = since(a.Plan.End)
	}
	r := a.Result
	if r == nil {
		return at
	}
	// A worker receives an action no sooner than it was sent. If the worker's clock says
	// otherwise, all of the worker's times are moved by the difference.
	off := max(0, a.Sent.Sub(r.Received))
	seen := func(t protocol.Time) int64 { return since(t.Add(off)) }
	at.received, at.sent = seen(r.Received), seen(r.Sent)
	if done, _, ok := a.Completed(); ok && a.Kind != protocol.EvictWeights {
		at.executed = seen(done)
	}
	if r.Code == protocol.OK && a.Kind == protocol.Infer {
		at.copied = seen(r.Output.End)
	}
	return at
}
