package tsv

import (
	"log/slog"
	"strconv"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// requestColumns are the columns of the request log. All times are nanoseconds.
var requestColumns = []string{
	"t",               // when the answer was sent: Unix time, where the original has its own monotonic time
	"request_id",      // the front door's number of the request, where the original has the client's; 0: the message never became a request
	"result",          // resultNumbers
	"user_id",         // number of the tenant
	"model_id",        // number of the model
	"slo_factor",      // 0, as in the original for a request whose SLO is no multiple of the model's time: ours never is
	"latency",         // from the arrival to t
	"deadline",        // after the arrival; -1: none
	"deadline_met",    // 1: result is 0, and latency within deadline
	"arrival_count",   // copies of the model on GPUs at the arrival: 0, or 1 for at least one; -1: unknown to the front door, since no worker was chosen, or the answer overtook the dispatch
	"departure_count", // the same when the answer was sent
	"is_coldstart",    // 1: arrival_count is 0 and departure_count is not

	"code", // our own columns from here
	"model",
	"user",
	"client_request", // the id that the client gave the request
	"front_door",
	"worker",
	"items",
	"batch_size", // at which the request ran, 0 if it did not
}

// Requests attaches a request log to a hub.
func Requests(c Config, hub *watch.Hub, log *slog.Logger) (*Log, error) {
	l, err := open(c, requestColumns, log.With("log", "requests"))
	if err != nil {
		return nil, err
	}
	hub.OnRequest(func(r *watch.Request) { put(l, r, appendRequest) })
	hub.ReportLoss("request-log", l.Lost)
	return l, nil
}

// appendRequest appends the line of a request.
func appendRequest(line []byte, r *watch.Request) []byte {
	ok := r.Code == protocol.OK
	latency, deadline := r.Latency(), int64(r.SLO)
	if r.SLO == 0 {
		deadline = -1
	}
	arrived, left := copies(r)

	w := row{line}
	w.number(r.Ended.UnixNano())
	w.number(int64(r.ID.Seq))
	w.number(resultNumber(r.Code))
	w.number(number(r.Tenant))
	w.number(number(r.Model))
	w.number(0)
	w.number(int64(latency))
	w.number(deadline)
	w.bool(ok && (r.SLO == 0 || latency <= r.SLO))
	w.number(arrived)
	w.number(left)
	w.bool(arrived == 0 && left > 0)

	w.text(string(r.Code))
	w.text(r.Model)
	w.text(r.Tenant)
	w.text(r.Client)
	w.door(r.ID.Door)
	w.text(r.Worker)
	w.number(int64(r.Items))
	w.number(int64(r.Batch))
	return w.end()
}

// copies returns how many copies of its model existed when a request arrived and when it
// was answered, as far as a front door knows.
func copies(r *watch.Request) (arrived, left int64) {
	switch {
	case r.Worker == "":
		return -1, -1
	case r.Cold && r.Code == protocol.OK:
		return 0, 1
	case r.Cold:
		return 0, 0
	}
	return 1, 1
}

// door writes the name of a front door without allocating a string.
func (r *row) door(door uint64) {
	if door == 0 {
		r.text("")
		return
	}
	for bits := door; bits < 1<<60; bits <<= 4 {
		r.line = append(r.line, '0')
	}
	r.line = append(strconv.AppendUint(r.line, door, 16), '\t')
}
