package metrics

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
	"clockwork/pkg/watch/livestats"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func fresh(t testing.TB, models int) (*watch.Hub, *Metrics) {
	t.Helper()
	hub := &watch.Hub{}
	return hub, New(hub, Config{Models: models})
}

// page is what a scraper gets.
func page(t testing.TB, m *Metrics) string {
	t.Helper()
	to := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(to, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if to.Code != http.StatusOK {
		t.Fatalf("%d: %s", to.Code, to.Body)
	}
	return to.Body.String()
}

// expect fails unless each line is on the page.
func expect(t *testing.T, page string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !strings.Contains(page, "\n"+line+"\n") {
			name, _, _ := strings.Cut(line, "{")
			name, _, _ = strings.Cut(name, " ")
			var near []string
			for _, l := range strings.Split(page, "\n") {
				if strings.HasPrefix(l, name) {
					near = append(near, l)
				}
			}
			t.Errorf("no line %q; there are:\n%s", line, strings.Join(near, "\n"))
		}
	}
}

var start = time.Unix(1000, 0)

// answered5ms is a request with an SLO of 20 ms, answered after 5.
func answered5ms() watch.Request {
	return watch.Request{
		ID: protocol.RequestID{Door: 1, Seq: 1}, Model: "m", Code: protocol.OK, SLO: 20 * ms,
		Arrived: start, Dispatched: start.Add(ms), Ended: start.Add(5 * ms),
		Items: 1, Batch: 2, Bytes: 600, Queue: 500 * us, Input: 100 * us, Exec: 2 * ms, Output: 100 * us,
	}
}

func TestARequestIsCountedByWhatBecameOfIt(t *testing.T) {
	hub, m := fresh(t, 10)
	hub.Request(answered5ms())
	cold := answered5ms()
	cold.Cold, cold.Tenant = true, "acme"
	hub.Request(cold)
	late := watch.Request{Model: "m", Code: protocol.DeadlineExceeded, SLO: 20 * ms, Arrived: start, Ended: start.Add(23 * ms)}
	hub.Request(late)
	hub.Request(watch.Request{Code: protocol.BadMessage, Arrived: start, Ended: start})
	hub.Request(watch.Request{Model: "m", Code: "NONSENSE", Arrived: start, Ended: start, Buffered: time.Second})
	expect(t, page(t, m),
		`clockwork_requests_total{code="OK",outcome="ok"} 2`,
		`clockwork_requests_total{code="DEADLINE_EXCEEDED",outcome="late"} 1`,
		`clockwork_requests_total{code="OVERLOADED",outcome="refused"} 0`,
		`clockwork_requests_total{code="BAD_MESSAGE",outcome="invalid"} 1`,
		`clockwork_requests_total{code="INTERNAL",outcome="failed"} 1`,
		`clockwork_model_requests_total{model="m",outcome="ok"} 2`,
		`clockwork_model_requests_total{model="m",outcome="failed"} 1`,
		`clockwork_model_latency_seconds_count{model="m"} 2`,
		`clockwork_model_cold_starts_total{model="m"} 1`,
		`clockwork_cold_starts_total{outcome="ok"} 1`,
		`clockwork_tenant_requests_total{outcome="ok",tenant="acme"} 1`,
		`clockwork_request_items_total 2`,
		`clockwork_request_input_bytes_total 1200`,
		`clockwork_request_latency_seconds_bucket{outcome="ok",le="0.0025"} 0`,
		`clockwork_request_latency_seconds_bucket{outcome="ok",le="0.005"} 2`,
		`clockwork_request_latency_seconds_sum{outcome="ok"} 0.01`,
		`clockwork_request_slack_seconds_sum 0.03`,
		`clockwork_request_lateness_seconds_sum 0.003`,
		`clockwork_request_lateness_seconds_count 1`,
		`clockwork_request_buffered_seconds_sum 1`,
		`clockwork_request_part_seconds_sum{part="decision"} 0.002`,
		`clockwork_request_part_seconds_sum{part="queue"} 0.001`,
		`clockwork_request_part_seconds_sum{part="exec"} 0.004`,
		`clockwork_request_part_seconds_sum{part="other"} 0.0026`,
	)
}

func TestAnAnswerBeforeItsDispatchHasNoDecision(t *testing.T) {
	hub, m := fresh(t, 10)
	r := answered5ms()
	r.Dispatched = time.Time{}
	hub.Request(r)
	expect(t, page(t, m),
		`clockwork_request_part_seconds_count{part="decision"} 0`,
		`clockwork_request_part_seconds_sum{part="other"} 0.0023`)
}

// script is what a scheduler's core would do: it shows those who observe what it is
// given, and an output.
type script struct {
	out sched.Output
	hub *watch.Hub
	to  sched.Observer
}

func observed(h *watch.Hub, s *script) *script {
	s.hub, s.to = h, h.Observer()
	return s
}

func (s *script) Step(now protocol.Time, e sched.Event) {
	s.hub.Step(0)
	if s.to != nil {
		s.to.Step(now, e, &s.out)
	}
}

func at(d time.Duration) protocol.Time { return protocol.Time(d) }

func TestActionsAreHeldAgainstTheirPlan(t *testing.T) {
	hub, m := fresh(t, 10)
	inner := &script{}
	core := observed(hub, inner)
	send := func(a protocol.Action, end time.Duration) {
		inner.out = sched.Output{Actions: []sched.Addressed{{Worker: "w", Action: a, Plan: sched.Plan{End: at(end)}}}}
		core.Step(at(ms), &sched.Tick{})
		inner.out = sched.Output{}
	}
	end := func(r protocol.Result) { r.Worker = "w"; core.Step(at(9*ms), &sched.Result{Result: r}) }
	members := []protocol.RequestRef{{Batch: 1}, {Batch: 2}}
	send(protocol.Action{ID: 1, Kind: protocol.Infer, Batch: 4, Expected: 2 * ms, Requests: members}, 4*ms)
	end(protocol.Result{Action: 1, Kind: protocol.Infer, Code: protocol.OK, Exec: protocol.Phase{Begin: at(2 * ms), End: at(5 * ms), Device: 3 * ms}})
	send(protocol.Action{ID: 2, Kind: protocol.LoadWeights, Expected: 5 * ms}, 9*ms)
	end(protocol.Result{Action: 2, Kind: protocol.LoadWeights, Code: protocol.OK, Begin: at(2 * ms), End: at(6 * ms)})
	send(protocol.Action{ID: 3, Kind: protocol.EvictWeights}, 9*ms)
	end(protocol.Result{Action: 3, Kind: protocol.EvictWeights, Code: protocol.WeightsInUse})
	send(protocol.Action{ID: 4, Kind: protocol.Infer}, 9*ms)
	inner.out = sched.Output{Unanswered: []sched.Unanswered{{Action: 4}}}
	core.Step(at(time.Hour), &sched.Tick{})
	expect(t, page(t, m),
		`clockwork_scheduler_actions_total{action="Infer",code="OK"} 1`,
		`clockwork_scheduler_actions_total{action="Infer",code="NO_RESULT"} 1`,
		`clockwork_scheduler_actions_total{action="EvictWeights",code="WEIGHTS_IN_USE"} 1`,
		`clockwork_scheduler_duration_error_seconds_sum{action="Infer",prediction="over"} 0.001`,
		`clockwork_scheduler_duration_error_seconds_sum{action="LoadWeights",prediction="under"} 0.001`,
		`clockwork_scheduler_completion_error_seconds_sum{action="Infer",prediction="over"} 0.001`,
		`clockwork_scheduler_completion_error_seconds_sum{action="LoadWeights",prediction="under"} 0.003`,
		`clockwork_scheduler_completion_error_seconds_count{action="Infer",prediction="over"} 1`,
		`clockwork_batch_size_bucket{le="4"} 1`,
		`clockwork_batch_size_sum 4`,
		`clockwork_batch_items_total 3`,
		`clockwork_scheduler_step_seconds_count 8`,
	)
}

func TestALaneIsBusyForAsLongAsItsPhases(t *testing.T) {
	hub, m := fresh(t, 10)
	phase := func(from, to time.Duration) protocol.Phase {
		return protocol.Phase{Begin: at(from), End: at(to), Device: to - from}
	}
	hub.Result(&protocol.Result{Worker: "w", GPU: 1, Kind: protocol.Infer, Code: protocol.OK,
		Input: phase(ms, 2*ms), Exec: phase(3*ms, 7*ms), Output: phase(7*ms, 9*ms)})
	hub.Result(&protocol.Result{Worker: "w", GPU: 1, Kind: protocol.LoadWeights, Code: protocol.OK, Begin: at(ms), End: at(4 * ms), Exec: phase(ms, 4*ms)})
	// A clock that was set back between the ends of a phase.
	hub.Result(&protocol.Result{Worker: "w", GPU: 1, Kind: protocol.EvictWeights, Code: protocol.OK, Begin: at(4 * ms), End: at(ms), Exec: phase(4*ms, ms)})
	hub.Result(&protocol.Result{Worker: "w", GPU: 1, Kind: protocol.Infer, Code: protocol.TooLate})
	expect(t, page(t, m),
		`clockwork_worker_lane_busy_seconds_total{gpu="1",lane="input",worker="w"} 0.001`,
		`clockwork_worker_lane_busy_seconds_total{gpu="1",lane="exec",worker="w"} 0.004`,
		`clockwork_worker_lane_busy_seconds_total{gpu="1",lane="output",worker="w"} 0.002`,
		`clockwork_worker_lane_busy_seconds_total{gpu="1",lane="transfer",worker="w"} 0.003`,
		`clockwork_worker_actions_total{action="Infer",code="OK"} 1`,
		`clockwork_worker_actions_total{action="Infer",code="TOO_LATE"} 1`,
		`clockwork_worker_action_seconds_sum{action="Infer"} 0.004`,
		`clockwork_worker_action_seconds_sum{action="EvictWeights"} 0`,
	)
}

// all lends a hub one service of each kind, and a second worker.
func all(hub *watch.Hub) {
	bus := func() watch.Bus {
		return watch.Bus{Connected: true, Dropped: 2, Reconnects: 1, RoundTrip: ms, MessagesIn: 10, MessagesOut: 20, BytesIn: 100, BytesOut: 200}
	}
	slower := func() watch.Bus { b := bus(); b.RoundTrip, b.Connected = 3*ms, false; return b }
	well := func() string { return "" }
	hub.Register(watch.Source{Service: protocol.FrontDoor, Name: "d", Ready: well, Bus: bus, FrontDoor: func() watch.FrontDoor {
		return watch.FrontDoor{Stage: protocol.Active, Epoch: 4, InFlight: 3, Bytes: 900, EarlyBytes: 70, Stored: 5, Received: 100, Answered: 90, Left: 2, Late: 1}
	}})
	hub.Register(watch.Source{Service: protocol.Profiler, Name: "p", Ready: well, Bus: bus})
	hub.Register(watch.Source{Service: protocol.Scheduler, Name: "s", Ready: well, Bus: bus, Scheduler: func() watch.Scheduler {
		return watch.Scheduler{Active: true, Epoch: 4, Workers: 2, Stats: sched.Stats{Submitted: 50, Succeeded: 40, Refused: 3, Queued: 5, InFlight: 2, Lost: 1, Crashes: 3, Quarantines: 1}}
	}})
	for i, b := range []func() watch.Bus{bus, slower} {
		hub.Register(watch.Source{Service: protocol.Worker, Name: fmt.Sprintf("w%d", i+1), Ready: well, Bus: b, Worker: func() watch.Worker {
			return watch.Worker{
				GPUs:   []watch.GPU{{Index: 0, Type: "v100", PagesTotal: 64, PagesUsed: 20 + i, Models: 3, Stalled: []string{"", "executes a for 1s"}[i]}},
				Models: 7, InFlight: 2, Inputs: 1, InputBytes: 600, ClockOffset: -2 * ms, ClockError: 20 * us, ClockSteps: 1,
			}
		}})
	}
}

func TestWhatCanBeReadIsRead(t *testing.T) {
	hub, m := fresh(t, 10)
	hub.ReportLoss("log", func() int64 { return 8 })
	all(hub)
	expect(t, page(t, m),
		`clockwork_readable 1`,
		`clockwork_ready{service="worker"} 1`,
		`clockwork_stage{stage="ACTIVE"} 1`,
		`clockwork_stage{stage="LOADING"} 0`,
		`clockwork_frontdoor_received_total 100`,
		`clockwork_frontdoor_answered_total 90`,
		`clockwork_frontdoor_left_total 2`,
		`clockwork_frontdoor_requests_in_flight 3`,
		`clockwork_frontdoor_requests_stored 5`,
		`clockwork_frontdoor_in_flight_bytes 900`,
		`clockwork_frontdoor_early_output_bytes 70`,
		`clockwork_frontdoor_scheduler_epoch 4`,
		`clockwork_scheduler_active 1`,
		`clockwork_scheduler_workers 2`,
		`clockwork_scheduler_requests{state="queued"} 5`,
		`clockwork_scheduler_submitted_total 50`,
		`clockwork_scheduler_requests_total{outcome="succeeded"} 40`,
		`clockwork_scheduler_lost_actions_total 1`,
		`clockwork_scheduler_crashes_total 3`,
		`clockwork_scheduler_quarantines_total 1`,
		`clockwork_worker_gpu_stalled{gpu="0",worker="w1"} 0`,
		`clockwork_worker_gpu_stalled{gpu="0",worker="w2"} 1`,
		`clockwork_worker_pages_capacity{gpu="0",worker="w1"} 64`,
		`clockwork_worker_pages_used{gpu="0",worker="w2"} 21`,
		`clockwork_worker_gpu_info{gpu="0",type="v100",worker="w2"} 1`,
		`clockwork_worker_clock_offset_seconds{worker="w1"} -0.002`,
		`clockwork_worker_clock_error_seconds{worker="w1"} 2e-05`,
		`clockwork_worker_clock_steps_total{worker="w1"} 1`,
		`clockwork_nats_connected{service="worker"} 0`,
		`clockwork_nats_connected{service="scheduler"} 1`,
		`clockwork_nats_round_trip_seconds{service="worker"} 0.003`,
		`clockwork_nats_dropped_total{service="worker"} 4`,
		`clockwork_nats_messages_total{direction="in",service="worker"} 20`,
		`clockwork_nats_message_bytes_total{direction="out",service="profiler"} 200`,
		`clockwork_telemetry_lost_total{listener="log"} 8`,
	)
}

// hostile are names that nobody should give.
func hostile(i int) string {
	return fmt.Sprintf("model-%d%s", i, []string{"", "\n", `"}`, "\xff\xfe", strings.Repeat("x", 300), "ä\u2028", "{a=\"b\"}"}[i%7])
}

// maxSeries is how many lines a process has at most with the default Config, without
// those that its own GPUs add.
const maxSeries = 3_000

func TestSeriesAreBoundedWhateverThingsAreCalled(t *testing.T) {
	hub, m := fresh(t, Defaults().Models)
	all(hub)
	inner := &script{}
	core := observed(hub, inner)
	for i := range 8_000 {
		name := fmt.Sprintf("model-%d", i)
		if i >= 4_000 {
			name = hostile(i)
		}
		for _, code := range []protocol.Code{protocol.Codes[i%len(protocol.Codes)].Code, protocol.Code(name)} {
			r := answered5ms()
			r.Model, r.Tenant, r.Code, r.Worker, r.Client, r.Why, r.Cold = name, name, code, name, name, name, true
			hub.Request(r)
			hub.Result(&protocol.Result{Kind: protocol.Kind(i), Code: code, Model: name, Message: name})
			inner.out = sched.Output{Actions: []sched.Addressed{{Worker: name, Action: protocol.Action{Kind: protocol.Kind(i), Model: name}}}}
			core.Step(0, &sched.Tick{})
			core.Step(0, &sched.Result{Result: protocol.Result{Worker: name, Code: code}})
		}
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	lines, models := 0, map[string]bool{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "clockwork_") {
			continue
		}
		for _, one := range f.GetMetric() {
			lines += linesOf(one)
			if f.GetName() == "clockwork_model_requests_total" {
				models[one.GetLabel()[0].GetValue()] = true
			}
		}
	}
	t.Logf("%d lines", lines)
	if lines > maxSeries {
		t.Errorf("%d lines; there should be at most %d", lines, maxSeries)
	}
	if len(models) != Defaults().Models+1 || !models[other] {
		t.Errorf("%d models have a label", len(models))
	}
}

// linesOf is how many lines a metric takes as text, which is how many series it is.
func linesOf(m *dto.Metric) int {
	if h := m.GetHistogram(); h != nil {
		return len(h.GetBucket()) + 3 // +Inf, sum and count
	}
	return 1
}

func TestModelsBeyondTheBoundAreCountedTogether(t *testing.T) {
	hub, m := fresh(t, 2)
	for _, name := range []string{"a", "other", "b", "c", "a", "d\n", "c"} {
		r := answered5ms()
		r.Model = name
		hub.Request(r)
	}
	expect(t, page(t, m),
		`clockwork_model_requests_total{model="a",outcome="ok"} 2`,
		`clockwork_model_latency_seconds_count{model="other"} 5`)
}

func TestGPUsBeyondTheBoundAreSummedUp(t *testing.T) {
	hub, m := fresh(t, 10)
	gpus := make([]watch.GPU, maxGPUs+3)
	for i := range gpus {
		gpus[i] = watch.GPU{Index: i, Type: "v100", PagesTotal: 10, PagesUsed: 2, Models: 1}
		hub.Result(&protocol.Result{Worker: "w", GPU: i, Kind: protocol.Infer, Code: protocol.OK, Exec: protocol.Phase{Begin: 0, End: at(time.Second)}})
	}
	hub.Register(watch.Source{Service: protocol.Worker, Name: "w", Worker: func() watch.Worker { return watch.Worker{GPUs: gpus} }})
	expect(t, page(t, m),
		`clockwork_worker_pages_capacity{gpu="other",worker="w"} 30`,
		`clockwork_worker_lane_busy_seconds_total{gpu="other",lane="exec",worker="other"} 3`)
}

func TestNamesFollowTheConventions(t *testing.T) {
	hub, m := fresh(t, 10)
	all(hub)
	hub.Request(answered5ms())
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestOutcomesOfCodes(t *testing.T) {
	for code, want := range map[protocol.Code]outcome{
		protocol.OK: answered, protocol.DeadlineExceeded: late,
		protocol.DeadlineUnmeetable: refused, protocol.Overloaded: refused, protocol.BufferFull: refused, protocol.BufferTimeout: refused, protocol.LimitExceeded: refused,
		protocol.UnknownModel: invalid, protocol.InvalidInput: invalid, protocol.PayloadTooLarge: invalid, protocol.BadMessage: invalid,
		protocol.WorkerLost: failed, protocol.SchedulerLost: failed, protocol.BackendError: failed, protocol.Internal: failed, protocol.ShuttingDown: failed,
		protocol.StateUnavailable: failed, protocol.FrontDoorLost: failed, protocol.ExecutionCrashed: failed, protocol.BatchFailed: failed,
		protocol.ModelQuarantined: refused, protocol.NotActive: refused, protocol.ExecutorLost: failed,
	} {
		if got := meaning(code.Row()); got != want {
			t.Errorf("%s counts as %v, should be %v", code, got, want)
		}
	}
}

func BenchmarkARequest(b *testing.B) {
	hub, _ := fresh(b, 100)
	r := answered5ms()
	result := &protocol.Result{Worker: "w", GPU: 1, Kind: protocol.Infer, Code: protocol.OK, Action: 1,
		Input: protocol.Phase{Begin: 1, End: 2000}, Exec: protocol.Phase{Begin: 1, End: at(ms), Device: ms}, Output: protocol.Phase{Begin: 1, End: 2000}}
	action := &watch.Action{Kind: protocol.Infer, Batch: 1, Expected: ms, Requests: []protocol.RequestRef{{Batch: 1}}, Result: result}
	a := newActions(&Metrics{registry: prometheus.NewRegistry()})
	b.ReportAllocs()
	for b.Loop() {
		hub.Request(r)
		hub.Result(result)
		a.onAction(action)
		a.step.Observe(2 * us)
		a.step.Observe(2 * us)
	}
}

// Over means the same in metrics and in figures: held against one sample.
func TestOverIsLongerThanPredictedInFiguresAndMetrics(t *testing.T) {
	for _, row := range []struct {
		took              time.Duration
		prediction, other string
	}{{3 * ms, "over", "under"}, {ms, "under", "over"}} {
		hub, m := fresh(t, 10)
		seen := livestats.NewScheduler()
		seen.Watch(true, time.Now())
		hub.OnAction(func(a *watch.Action) { seen.Ended(a.Kind, a.Expected, a.Took()) })
		inner := &script{out: sched.Output{Actions: []sched.Addressed{{Worker: "w",
			Action: protocol.Action{ID: 1, Kind: protocol.Infer, Expected: 2 * ms}, Plan: sched.Plan{End: at(4 * ms)}}}}}
		core := observed(hub, inner)
		core.Step(at(ms), &sched.Tick{})
		inner.out = sched.Output{}
		end := at(4*ms - 2*ms + row.took)
		core.Step(at(9*ms), &sched.Result{Result: protocol.Result{Worker: "w", Action: 1, Kind: protocol.Infer, Code: protocol.OK,
			Exec: protocol.Phase{End: end, Device: row.took}}})
		text := page(t, m)
		for _, metric := range []string{"duration", "completion"} {
			expect(t, text, fmt.Sprintf(`clockwork_scheduler_%s_error_seconds_count{action="Infer",prediction="%s"} 1`, metric, row.prediction),
				fmt.Sprintf(`clockwork_scheduler_%s_error_seconds_count{action="Infer",prediction="%s"} 0`, metric, row.other))
		}
		f := seen.LiveStats(time.Now()).Scheduler
		counts := map[string]int{"over": f.ExecOver.Count(), "under": f.ExecUnder.Count()}
		if counts[row.prediction] != 1 || counts[row.other] != 0 {
			t.Errorf("took %v of 2 ms: figures count %v", row.took, counts)
		}
	}
}
