package sched

import (
	"testing"
	"time"
)

func TestOneSlowExecutionMakesNoSlowGPU(t *testing.T) {
	p := slowdown{factor: 1}
	if !p.judge(0, 10*time.Second, time.Millisecond) {
		t.Error("the first slow sample was not believed; the model may have become slow")
	}
	if p.slow() {
		t.Errorf("slow at a factor of %v after one execution", p.factor)
	}
	for range 10 {
		p.judge(0, time.Millisecond, time.Millisecond)
	}
	if p.factor > suspicious {
		t.Errorf("still suspicious at %v after ten usual ones", p.factor)
	}
}

func TestASlowGPUIsPlannedWithItsPaceAndTeachesNobody(t *testing.T) {
	p := slowdown{factor: 1}
	believed := 0
	for range 10 {
		if p.judge(0, 3*time.Millisecond, time.Millisecond) {
			believed++
		}
	}
	if believed != 1 {
		t.Errorf("%d of 10 slow samples were believed, expected the first alone", believed)
	}
	if took := p.of(time.Second); took < 2500*time.Millisecond || took > 3*time.Second {
		t.Errorf("what usually takes 1 s is planned with %v, it takes 3 s", took)
	}
	for range 10 {
		p.judge(0, time.Millisecond, time.Millisecond)
	}
	if p.slow() || p.of(time.Second) != time.Second {
		t.Errorf("a GPU that is fast again is planned with a factor of %v", p.factor)
	}
}

func TestASlowGPUWithoutWorkIsTriedAgain(t *testing.T) {
	p := slowdown{factor: 9}
	if p.recover(0); !p.slow() {
		t.Error("it was tried again at once")
	}
	if p.recover(1 + 1e9); p.slow() {
		t.Error("it was not tried again after a second")
	}
}
