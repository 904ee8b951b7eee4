package livestats

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

var noon = time.Unix(1_700_000_000, 0)

const ms = time.Millisecond

func TestNothingIsCountedWhileNobodyWatches(t *testing.T) {
	d := NewFrontDoor()
	d.Answered("m", protocol.OK, ms, false)
	d.Watch(true, noon)
	d.Answered("m", protocol.OK, ms, true)
	d.Answered("m", protocol.DeadlineExceeded, ms, false)
	d.Answered("", protocol.UnknownModel, 0, false)
	f := d.LiveStats(noon.Add(time.Second))
	door := f.FrontDoor
	if f.SpanMS != 1000 || door.Answers != (protocol.Answers{Served: 1, Missed: 1, Wrong: 1}) || door.Latency.Count() != 1 || door.Codes[protocol.DeadlineExceeded] != 1 {
		t.Errorf("%+v of %v ms", door, f.SpanMS)
	}
	if len(door.Busiest) != 1 || door.Busiest[0].Cold != 1 || door.Busiest[0].Missed != 1 || door.Others.Wrong != 1 {
		t.Errorf("models %+v, others %+v", door.Busiest, door.Others)
	}
	d.Watch(false, noon)
	d.Answered("m", protocol.OK, ms, false)
	d.Watch(true, noon)
	if f := d.LiveStats(noon); f.FrontDoor.Served != 0 {
		t.Errorf("from before: %+v", f.FrontDoor)
	}
}

func TestFiguresAreOfTheLastFiveToTenSeconds(t *testing.T) {
	d := NewFrontDoor()
	d.Watch(true, noon)
	for s := range 30 {
		d.Answered("m", protocol.OK, ms, false)
		f := d.LiveStats(noon.Add(time.Duration(s+1) * time.Second))
		if n, span := f.FrontDoor.Served, f.SpanMS/1000; float64(n) != span || span > 10 || s > 5 && span < 5 {
			t.Errorf("after %d s: %d of %v s", s+1, n, span)
		}
	}
}

func TestOfManyModelsThoseWorthItAreTold(t *testing.T) {
	d := NewFrontDoor()
	d.Watch(true, noon)
	for i := range 4000 {
		d.Answered(fmt.Sprintf("m%04d", i), protocol.OK, ms, false)
	}
	for range 2 {
		d.Answered("m0300", protocol.OK, ms, false)
	}
	d.Answered("m3998", protocol.DeadlineExceeded, ms, false)
	d.Answered("m3999", protocol.OK, ms, true)
	f := d.LiveStats(noon.Add(time.Second))
	body, err := json.Marshal(f)
	if err != nil || len(body) > 64<<10 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	list := f.FrontDoor.Busiest
	told := map[string]bool{}
	sum := f.FrontDoor.Others.Answers
	for _, m := range list {
		told[m.Model] = true
		sum.Add(m.Answers)
	}
	if len(list) > protocol.MaxModelStats || len(told) != len(list) || list[0].Model != "m0300" || !told["m3998"] || !told["m3999"] || sum != f.FrontDoor.Answers {
		t.Errorf("%d models, first %s, sum %+v of %+v", len(list), list[0].Model, sum, f.FrontDoor.Answers)
	}
}

func TestPredictionErrorsAreToldByTheirSide(t *testing.T) {
	s := NewScheduler()
	s.Watch(true, noon)
	s.Ended(protocol.Infer, 3*ms, 4*ms)
	s.Ended(protocol.Infer, 3*ms, 2*ms)
	s.Ended(protocol.LoadWeights, 8*ms, 8*ms)
	f := s.LiveStats(noon.Add(time.Second)).Scheduler
	if f.ExecOver.Count() != 1 || f.ExecUnder.Count() != 1 || f.LoadOver.Count() != 1 || f.LoadUnder.Count() != 0 || f.ExecOver.Quantile(1) < ms {
		t.Errorf("%+v", f)
	}
}

// result is of an action that ended so long before it was sent.
func result(kind protocol.Kind, took, ago time.Duration) *protocol.Result {
	sent := protocol.Time(time.Hour)
	end := sent.Add(-ago)
	p := protocol.Phase{Begin: end.Add(-took), End: end, Device: took}
	return &protocol.Result{Kind: kind, Code: protocol.OK, Batch: 4, Begin: p.Begin, End: end, Exec: p, Sent: sent}
}

func TestTimelinesSayWhenALaneWasBusy(t *testing.T) {
	w := NewWorker(2)
	w.Watch(true, noon)
	w.Ended(result(protocol.Infer, 150*ms, 0), noon.Add(300*ms))
	w.Ended(result(protocol.LoadWeights, 50*ms, 100*ms), noon.Add(600*ms))
	w.Ended(&protocol.Result{Kind: protocol.Infer, Code: protocol.TooLate}, noon)
	w.Ended(&protocol.Result{Kind: protocol.Infer, GPU: 7}, noon)
	f := w.LiveStats(noon.Add(time.Second)).Worker
	g := f.GPUs[0]
	if want := []int{0, 50, 100, 0, 0, 0, 0, 0, 0, 0}; !slices.Equal(g.Exec, want) {
		t.Errorf("execution %v, want %v", g.Exec, want)
	}
	if want := []int{0, 0, 0, 0, 50, 0, 0, 0, 0, 0}; !slices.Equal(g.Load, want) {
		t.Errorf("transfers %v, want %v", g.Load, want)
	}
	if g.Batches != 1 || g.Items != 4 || g.Failed != 1 || len(f.GPUs) != 2 || f.GPUs[1].Batches != 0 {
		t.Errorf("%+v", f)
	}
	if later := w.LiveStats(noon.Add(3 * time.Second)).Worker.GPUs[0]; slices.Max(later.Exec) != 0 {
		t.Errorf("two seconds later: %v", later.Exec)
	}
}

func TestOneLongActionFillsNoMoreThanWhatIsKept(t *testing.T) {
	w := NewWorker(1)
	w.Watch(true, noon)
	w.Ended(result(protocol.Infer, time.Hour, 0), noon)
	if g := w.LiveStats(noon).Worker.GPUs[0]; slices.Min(g.Exec) != 100 {
		t.Errorf("%v", g.Exec)
	}
}

func TestTheGPUsThatAreToldOfAreBounded(t *testing.T) {
	w := NewWorker(100)
	w.Watch(true, noon)
	if f := w.LiveStats(noon).Worker; len(f.GPUs) != protocol.MaxGPUStats || f.Hidden != 100-protocol.MaxGPUStats {
		t.Errorf("%d told, %d hidden", len(f.GPUs), f.Hidden)
	}
}

func BenchmarkUnwatched(b *testing.B) {
	d := NewFrontDoor()
	for b.Loop() {
		d.Answered("m", protocol.OK, ms, false)
	}
}

func BenchmarkWatched(b *testing.B) {
	d := NewFrontDoor()
	d.Watch(true, noon)
	for b.Loop() {
		d.Answered("m", protocol.OK, ms, false)
	}
}
