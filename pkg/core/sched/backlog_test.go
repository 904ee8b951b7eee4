package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// Under overload a model's queue is bounded by what it is served: four times
// what comes to its turn within the deadline, one of its largest batches in any
// case.
func TestAQueueFarTooLongForAModelsPaceTakesNoMore(t *testing.T) {
	for _, c := range []struct {
		items   int
		each    time.Duration
		refused bool
	}{
		{items: 100, each: 10 * time.Millisecond, refused: true}, // 1 s of work, 100 ms of time
		{items: 100, each: time.Millisecond},                     // just in time
		{items: 100, each: 4 * time.Millisecond},                 // four times as much
		{items: 15, each: time.Second},                           // not even one batch
	} {
		m := &model{items: c.items, modelPlan: modelPlan{itemInterval: c.each}, spec: protocol.ModelSpec{BatchSizes: []int{1, 16}}}
		p := &clockworkPolicy{engine: &engine{}}
		wait := p.backlog(&request{model: m, deadline: protocol.Time(100 * time.Millisecond)})
		if (wait > 0) != c.refused {
			t.Errorf("%d items, one each %v: a wait of %v, expected a refusal: %v", c.items, c.each, wait, c.refused)
		}
	}
}

func TestThePaceOfAModelIsTheTimeBetweenItems(t *testing.T) {
	m := &model{modelPlan: modelPlan{servedAt: 1}}
	on := &replica{model: m, gpu: &gpu{gpuPlan: gpuPlan{last: m}}}
	for range 20 {
		m.served(m.servedAt.Add(time.Millisecond), 1, on, 800*time.Microsecond)
	}
	if m.itemInterval < 900*time.Microsecond || m.itemInterval > time.Millisecond {
		t.Errorf("served each millisecond, the interval is %v", m.itemInterval)
	}
	if m.pace < 1.1 || m.pace > 1.25 {
		t.Errorf("batches of 0.8 ms each millisecond have a pace of %v", m.pace)
	}
	on.gpu.last = nil
	if m.served(m.servedAt.Add(time.Second), 1, on, time.Millisecond); m.pace > 1.25 {
		t.Errorf("after another model's batch the pace is %v", m.pace)
	}
}
