package summary

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

const ms = time.Millisecond

// told is what a summary tells of what happens, in periods of 10 s.
func told(t *testing.T, level slog.Level, happen func(*watch.Hub)) (log, said string) {
	t.Helper()
	var lines bytes.Buffer
	synctest.Test(t, func(t *testing.T) {
		hub := &watch.Hub{}
		s := Listen(10*time.Second, hub, slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{
			Level: level,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		})), func(text string) { said += text + "\n" })
		happen(hub)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return lines.String(), said
}

func answer(h *watch.Hub, code protocol.Code, latency time.Duration) {
	now := time.Now()
	h.Request(watch.Request{Code: code, Arrived: now.Add(-latency), Ended: now, SLO: 20 * ms})
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("told\n%s\nwant\n%s", got, want)
	}
}

// traffic is 100 requests in 10 s: 97 in time, one late, two refused.
func traffic(h *watch.Hub) {
	for i := range 97 {
		answer(h, protocol.OK, time.Duration(i%10+1)*ms)
		time.Sleep(100 * ms)
	}
	answer(h, protocol.OK, 30*ms)
	answer(h, protocol.UnknownModel, 0)
	answer(h, protocol.DeadlineUnmeetable, 0)
	time.Sleep(time.Second)
}

func TestRequestsOfAFrontDoor(t *testing.T) {
	log, said := told(t, slog.LevelInfo, traffic)
	expect(t, log, "level=INFO msg=requests throughput=10 goodput=9.7 success=0.98 in_slo=0.97 p50_ms=5.018 p99_ms=10.035 max_ms=30 "+
		"refused.DEADLINE_UNMEETABLE=1 refused.UNKNOWN_MODEL=1\n")
	expect(t, said, "")
}

func TestALineForAPersonWhereTheLogTakesNone(t *testing.T) {
	log, said := told(t, slog.LevelWarn, func(h *watch.Hub) {
		worked(h)
		traffic(h)
	})
	expect(t, log, "")
	expect(t, said, "10 requests/s, 97 % in time, p50 5.02 ms, p99 10, max 30, 1 DEADLINE_UNMEETABLE, 1 UNKNOWN_MODEL; GPUs 10 % busy\n")
}

// worked has worker b do 2 s of work on GPU 1 and a refuse something, which lasted 10 s.
func worked(h *watch.Hub) {
	h.Register(watch.Source{Service: protocol.Worker, Name: "b", Worker: func() watch.Worker {
		return watch.Worker{GPUs: []watch.GPU{{Index: 0}, {Index: 1, PagesTotal: 64, PagesUsed: 14, Models: 2}}}
	}})
	for range 20 {
		h.Result(&protocol.Result{Worker: "b", GPU: 1, Kind: protocol.Infer, Code: protocol.OK, Batch: 4, Exec: protocol.Phase{Device: 100 * ms}})
	}
	h.Result(&protocol.Result{Worker: "b", GPU: 1, Kind: protocol.LoadWeights, Code: protocol.OK, End: protocol.Time(time.Second)})
	h.Result(&protocol.Result{Worker: "b", GPU: 1, Kind: protocol.EvictWeights, Code: protocol.OK})
	h.Result(&protocol.Result{Worker: "a", GPU: 0, Kind: protocol.Infer, Code: protocol.TooLate})
	h.Result(&protocol.Result{Worker: "a", GPU: 0, Kind: protocol.GetWorkerState, Code: protocol.OK})
}

func TestEachGPUHasALine(t *testing.T) {
	log, _ := told(t, slog.LevelInfo, func(h *watch.Hub) {
		worked(h)
		time.Sleep(11 * time.Second)
	})
	expect(t, log, "level=INFO msg=gpu worker=a gpu=0 infers=0 loads=0 evictions=0 failed=1 mean_batch=0 execution=0 transfer=0\n"+
		"level=INFO msg=gpu worker=b gpu=1 infers=2 loads=0.1 evictions=0.1 failed=0 mean_batch=4 execution=0.2 transfer=0.1 pages_used=14 pages=64 models=2\n")
}

func TestActionsOfAScheduler(t *testing.T) {
	log, _ := told(t, slog.LevelInfo, func(h *watch.Hub) {
		h.Register(watch.Source{Service: protocol.Scheduler, Scheduler: func() watch.Scheduler {
			return watch.Scheduler{Stats: sched.Stats{Queued: 7, InFlight: 3}}
		}})
		core := h.Observer()
		step := func(now protocol.Time, e sched.Event, sent protocol.ActionID) {
			h.Step(0)
			core.Step(now, e, &sched.Output{Actions: []sched.Addressed{{Worker: "w",
				Action: protocol.Action{ID: sent, Kind: protocol.Infer, Expected: 4 * ms},
				Plan:   sched.Plan{End: now.Add(5 * ms)}}}})
		}
		step(0, &sched.Tick{}, 1)
		for i := range 50 {
			r := protocol.Result{Action: protocol.ActionID(i + 1), Worker: "w", Code: protocol.OK, Kind: protocol.Infer,
				Exec: protocol.Phase{End: protocol.Time(6 * ms), Device: 3 * ms}}
			if i == 49 {
				r.Code = protocol.TooLate
			}
			step(0, &sched.Result{Result: r}, r.Action+1)
		}
		time.Sleep(11 * time.Second)
	})
	expect(t, log, "level=INFO msg=actions infers=4.9 loads=0 failed=1 "+
		"prediction_error_p50_ms=1.005 prediction_error_p99_ms=1.005 completion_error_p99_ms=1.005 step_p50_us=0 step_p99_us=0 queued=7 in_flight=3\n")
}

func TestNothingIsSaidOfAPeriodInWhichNothingHappened(t *testing.T) {
	log, said := told(t, slog.LevelInfo, func(h *watch.Hub) {
		time.Sleep(time.Hour)
		answer(h, protocol.OK, ms)
		time.Sleep(time.Hour)
		answer(h, protocol.OK, ms)
		time.Sleep(time.Hour)
	})
	if n := strings.Count(log, "\n"); n != 2 || said != "" {
		t.Errorf("told %d lines, want 2:\n%s%s", n, log, said)
	}
}

func BenchmarkRequest(b *testing.B) {
	var s requests
	now := time.Now()
	r := watch.Request{Code: protocol.OK, Arrived: now.Add(-5 * ms), Ended: now, SLO: 20 * ms}
	b.ReportAllocs()
	for b.Loop() {
		s.onRequest(&r)
	}
}

func BenchmarkResult(b *testing.B) {
	var s gpus
	r := protocol.Result{Worker: "gpu-host-3", GPU: 1, Kind: protocol.Infer, Code: protocol.OK, Batch: 4, Exec: protocol.Phase{Device: 5 * ms}}
	b.ReportAllocs()
	for b.Loop() {
		s.onResult(&r)
	}
}

func BenchmarkAction(b *testing.B) {
	var s actions
	r := protocol.Result{Kind: protocol.Infer, Code: protocol.OK, Exec: protocol.Phase{Device: 5 * ms}}
	a := watch.Action{Kind: protocol.Infer, Expected: 4 * ms, Result: &r}
	b.ReportAllocs()
	for b.Loop() {
		s.onAction(&a)
	}
}
