package sched

import (
	"fmt"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// BenchmarkCore takes requests from Submit to Result at full load: every GPU
// always has work, batches form, results come when they are predicted.
func BenchmarkCore(b *testing.B) {
	for _, c := range []struct {
		gpus, models int
		everywhere   bool
	}{{10, 100, false}, {10, 1000, false}, {10, 10_000, false}, {100, 1000, false}, {1000, 10_000, false}, {10, 10, true}, {100, 10, true}} {
		b.Run(fmt.Sprintf("gpus=%d/models=%d/everywhere=%v", c.gpus, c.models, c.everywhere), func(b *testing.B) {
			benchCore(b, benchState(c.gpus, c.models, c.everywhere))
		})
	}
}

// benchState is so many GPUs of one worker each, and models that are spread
// over them, each on one, or each on all of them.
func benchState(gpus, models int, everywhere bool) protocol.ClockworkState {
	state := protocol.ClockworkState{}
	for i := range models {
		m, p := spec(fmt.Sprintf("m%05d", i), 1, time.Millisecond, 2*time.Millisecond, 3*time.Millisecond, 5*time.Millisecond, 9*time.Millisecond, 17*time.Millisecond)
		m.AnyBatch = true
		state.Models, state.Profiles = append(state.Models, m), append(state.Profiles, p)
	}
	for i := range gpus {
		g := protocol.GPUState{Type: "t4", PagesTotal: models + 1}
		first, step := i, gpus
		if everywhere {
			first, step = 0, 1
		}
		for m := first; m < models; m += step {
			g.Models = append(g.Models, state.Models[m].Name)
			g.PagesUsed++
		}
		state.Workers = append(state.Workers, protocol.WorkerState{ID: fmt.Sprintf("w%04d", i), Incarnation: 1, GPUs: []protocol.GPUState{g}, Models: state.Models})
	}
	return state
}

// benchCore keeps 32 requests waiting or running for each GPU.
func benchCore(b *testing.B, state protocol.ClockworkState) {
	core, _ := New("clockwork", Defaults())
	gpus, models := len(state.Workers), len(state.Models)
	core.Step(0, &Activate{Epoch: 1, Issuer: 1, State: state})
	type running struct {
		action   protocol.Action
		worker   string
		items    int
		duration time.Duration
	}
	open := make([][]running, gpus)
	byName := map[string]int{}
	for i, w := range state.Workers {
		byName[w.ID] = i
	}
	now, seq, ahead := protocol.Time(0), uint64(0), 0
	var submit Submit
	var result Result
	take := func(out Output) {
		for _, a := range out.Actions {
			i := byName[a.Worker]
			open[i] = append(open[i], running{action: a.Action, worker: a.Worker, items: len(a.Action.Requests), duration: a.Action.Expected})
		}
		ahead -= len(out.Refusals)
	}
	b.ReportAllocs()
	b.ResetTimer()
	done, gpu, steps := 0, 0, 0
	for done < b.N {
		for ahead < 32*gpus {
			seq++
			ahead++
			submit.Submission = protocol.Submission{ID: protocol.RequestID{Door: 1, Seq: seq}, Model: state.Models[seq*7919%uint64(models)].Name, Batch: 1, Budget: time.Second}
			take(core.Step(now, &submit))
			steps++
		}
		for len(open[gpu]) == 0 {
			gpu = (gpu + 1) % gpus
			if gpu == 0 {
				now += 1000
				take(core.Step(now, &Tick{}))
				steps++
			}
		}
		r := open[gpu][0]
		open[gpu] = append(open[gpu][:0], open[gpu][1:]...)
		gpu = (gpu + 1) % gpus
		if gpu == 0 {
			now = now.Add(r.duration)
		}
		result.Result = protocol.Result{Action: r.action.ID, Issuer: 1, Worker: r.worker, Kind: r.action.Kind, Code: protocol.OK, Begin: now.Add(-r.duration), End: now}
		take(core.Step(now, &result))
		steps++
		done += r.items
		ahead -= r.items
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(done), "ns/request")
	b.ReportMetric(float64(steps)/float64(done), "steps/request")
}
