package tsv

import (
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// The original's columns, as its classes write them; its scripts read by these names.
const (
	originalRequests = "t request_id result user_id model_id slo_factor latency deadline deadline_met arrival_count departure_count is_coldstart"
	originalActions  = "t action_id action_type status worker_id gpu_id model_id batch_size expected_exec_duration worker_exec_duration " +
		"expected_exec_complete worker_exec_complete expected_gpu_clock worker_gpu_clock_before worker_gpu_clock " +
		"worker_copy_output_complete worker_action_received worker_result_sent controller_result_enqueue controller_action_duration " +
		"goodput requests_queued copies_loaded"
)

func TestTheOriginalsColumnsComeFirst(t *testing.T) {
	for original, ours := range map[string][]string{originalRequests: requestColumns, originalActions: actionColumns} {
		if !strings.HasPrefix(strings.Join(ours, " ")+" ", original+" ") {
			t.Errorf("columns %v\nwant first %s", ours, original)
		}
	}
}

// fields are those of a line by the names of its columns.
func fields(t *testing.T, columns []string, line []byte) map[string]string {
	t.Helper()
	text, whole := strings.CutSuffix(string(line), "\n")
	values := strings.Split(text, "\t")
	if !whole || len(values) != len(columns) {
		t.Fatalf("%d fields, want %d: %q", len(values), len(columns), line)
	}
	found := map[string]string{}
	for i, c := range columns {
		if found[c] = values[i]; values[i] == "" {
			t.Errorf("column %s is empty, which the original's scripts drop", c)
		}
	}
	return found
}

// expect compares some fields, given as "name value name value".
func expect(t *testing.T, found map[string]string, pairs string) {
	t.Helper()
	list := strings.Fields(pairs)
	for i := 0; i < len(list); i += 2 {
		if found[list[i]] != list[i+1] {
			t.Errorf("%s is %s, want %s", list[i], found[list[i]], list[i+1])
		}
	}
}

var arrived = time.Unix(1000, 0)

func TestLinesOfRequests(t *testing.T) {
	const ms = time.Millisecond
	door := protocol.RequestID{Door: 0xab, Seq: 7}
	for _, row := range []struct {
		name string
		r    watch.Request
		want string
	}{
		{"answered warm", watch.Request{ID: door, Client: "c-1", Tenant: "team", Model: "m", Arrived: arrived, Ended: arrived.Add(5 * ms),
			SLO: 10 * ms, Code: protocol.OK, Items: 3, Batch: 4, Worker: "w"},
			`t 1000005000000 request_id 7 result 0 slo_factor 0 latency 5000000 deadline 10000000 deadline_met 1
			arrival_count 1 departure_count 1 is_coldstart 0
			code OK model m user team client_request c-1 front_door 00000000000000ab worker w items 3 batch_size 4`},
		{"answered cold, and late", watch.Request{ID: door, Model: "m", Arrived: arrived, Ended: arrived.Add(11 * ms),
			SLO: 10 * ms, Code: protocol.OK, Worker: "w", Cold: true},
			`result 0 deadline_met 0 arrival_count 0 departure_count 1 is_coldstart 1 user_id 0 user -`},
		{"cold, and its weights never came", watch.Request{ID: door, Model: "m", Arrived: arrived, Ended: arrived.Add(10 * ms),
			SLO: 10 * ms, Code: protocol.DeadlineExceeded, Worker: "w", Cold: true},
			`result 4 deadline_met 0 arrival_count 0 departure_count 0 is_coldstart 0`},
		{"refused at once", watch.Request{ID: door, Model: "m", Arrived: arrived, Ended: arrived.Add(ms),
			SLO: 10 * ms, Code: protocol.DeadlineUnmeetable},
			`result 8 deadline_met 0 arrival_count -1 departure_count -1 is_coldstart 0 worker - batch_size 0`},
		{"never a request", watch.Request{Arrived: arrived, Ended: arrived, Code: protocol.BadMessage},
			`request_id 0 result 6 model_id 0 latency 0 deadline -1 deadline_met 0 code BAD_MESSAGE model - front_door -`},
		{"a fault of ours", watch.Request{Arrived: arrived, Ended: arrived, Code: protocol.Internal}, `result 1 code INTERNAL`},
	} {
		t.Run(row.name, func(t *testing.T) {
			expect(t, fields(t, requestColumns, appendRequest(nil, &row.r)), row.want)
		})
	}
}

// at is so many milliseconds on the scheduler's clock.
func at(ms int64) protocol.Time { return protocol.Time(ms * 1e6) }

// infer was sent at 100 ms, to be executed from 102 to 106.
func infer(r *protocol.Result) watch.Action {
	return watch.Action{
		Worker: "w", ID: 1<<40 + 5, Epoch: 1, Kind: protocol.Infer, GPU: 2, Model: "m", Batch: 4,
		Requests: []protocol.RequestRef{{Batch: 1}, {Batch: 2}},
		Expected: 4 * time.Millisecond, Plan: sched.Plan{Begin: at(102), End: at(106), Queued: 9, Copies: 2},
		Sent: at(100), Ended: at(109), Result: r,
	}
}

func done() *protocol.Result {
	return &protocol.Result{Code: protocol.OK, Received: at(101), Begin: at(102), End: at(108), Sent: at(108),
		Exec: protocol.Phase{Begin: at(102), End: at(107), Device: 5 * time.Millisecond}, Output: protocol.Phase{Begin: at(107), End: at(108)}}
}

func TestLinesOfActions(t *testing.T) {
	early := done() // of a worker whose clock is 3 ms behind
	early.Received, early.Exec.End, early.Output.End, early.Sent = at(98), at(104), at(105), at(105)
	load := infer(done())
	load.Kind, load.Batch, load.Requests = protocol.LoadWeights, 0, nil
	evict := load
	evict.Kind, evict.Plan = protocol.EvictWeights, sched.Plan{}
	for _, row := range []struct {
		name string
		a    watch.Action
		want string
	}{
		{"done", infer(done()),
			`t 1000000000000 action_id 1099511627781 action_type 2 status 0 gpu_id 2 batch_size 3
			expected_exec_duration 4000000 worker_exec_duration 5000000 expected_exec_complete 6000000 worker_exec_complete 7000000
			expected_gpu_clock 0 worker_gpu_clock_before 0 worker_gpu_clock 0
			worker_copy_output_complete 8000000 worker_action_received 1000000 worker_result_sent 8000000
			controller_result_enqueue 9000000 controller_action_duration 9000000
			goodput 5000000 requests_queued 9 copies_loaded 2 code OK worker w model m epoch 1 padded_batch_size 4`},
		{"a clock that is behind", infer(early),
			`worker_action_received 0 worker_exec_complete 6000000 worker_copy_output_complete 7000000 worker_result_sent 7000000`},
		{"too late", infer(&protocol.Result{Code: protocol.TooLate, Received: at(101), Sent: at(103)}),
			`status 11 worker_exec_duration 0 worker_exec_complete 0 worker_action_received 1000000 worker_result_sent 3000000 goodput 0 code TOO_LATE`},
		{"a backend that failed", infer(&protocol.Result{Code: protocol.BackendError}), `status 2 code BACKEND_ERROR`},
		{"no result", infer(nil), `status 1 worker_exec_duration 0 worker_result_sent 0 goodput 0 code -`},
		{"a load", load, `action_type 1 batch_size 1 worker_exec_duration 6000000 worker_exec_complete 8000000 worker_copy_output_complete 0`},
		{"an eviction", evict, `action_type 3 batch_size 1 expected_exec_complete 0 worker_exec_complete 0`},
	} {
		t.Run(row.name, func(t *testing.T) {
			expect(t, fields(t, actionColumns, appendAction(nil, arrived, &row.a)), row.want)
		})
	}
}

func TestBothLogsNumberAModelAlike(t *testing.T) {
	a := infer(nil)
	inActions := fields(t, actionColumns, appendAction(nil, arrived, &a))
	inRequests := fields(t, requestColumns, appendRequest(nil, &watch.Request{Model: "m", Tenant: "w"}))
	if inActions["model_id"] != inRequests["model_id"] || inActions["model_id"] == "0" || inActions["worker_id"] == inActions["model_id"] {
		t.Errorf("action %v\nrequest %v", inActions, inRequests)
	}
}

func TestTextsKeepTheLineWhole(t *testing.T) {
	for text, want := range map[string]string{
		"":                       "-",
		"-":                      "%2D",
		"nan":                    "%6Ean",
		"NULL":                   "%4EULL",
		"nano":                   "nano",
		"a\tb\nc":                "a%09b%0Ac",
		`"quoted" 100%`:          "%22quoted%22 100%25",
		"größer":                 "größer",
		strings.Repeat("x", 999): strings.Repeat("x", maxText),
	} {
		if got := string(appendText(nil, text)); got != want {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
	}
}

func TestEveryCodeOfThePlainestKindHasItsNumber(t *testing.T) {
	for code := range resultNumbers {
		if !code.Known() || code.Row().Audience&protocol.ForClients == 0 {
			t.Errorf("no client sees %s", code)
		}
	}
	for code := range statusNumbers {
		if !code.Known() || code.Row().Audience&protocol.ForWorkers == 0 {
			t.Errorf("no worker answers %s", code)
		}
	}
}

func BenchmarkRequestLine(b *testing.B) {
	l := idle()
	defer l.period.Close()
	r := watch.Request{ID: protocol.RequestID{Door: 7, Seq: 123456}, Client: "client-17", Model: "resnet50_v2-12", Arrived: arrived,
		Ended: arrived.Add(5 * time.Millisecond), SLO: 100 * time.Millisecond, Code: protocol.OK, Items: 1, Batch: 4, Worker: "gpu-host-3"}
	b.ReportAllocs()
	for b.Loop() {
		put(l, &r, appendRequest)
		l.waiting = l.waiting[:0]
	}
}

func BenchmarkActionLine(b *testing.B) {
	l := idle()
	defer l.period.Close()
	a := infer(done())
	b.ReportAllocs()
	for b.Loop() {
		put(l, &a, appendEnded)
		l.waiting = l.waiting[:0]
	}
}
