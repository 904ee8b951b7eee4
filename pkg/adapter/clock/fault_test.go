package clock

import (
	"math"
	"testing"
	"time"
)

func TestAClockGoesWrongAsItIsTold(t *testing.T) {
	f := Fault{Drift: 0.01, Step: -time.Minute}
	if off := f.off(10 * time.Second); off != 100*time.Millisecond {
		t.Errorf("after 10 s it is off by %v", off)
	}
	f.Misbehave()
	t.Cleanup(func() { fault.Store(nil) })
	before := Now()
	Stepped(true)
	t.Cleanup(func() { Stepped(false) })
	if back := before.Sub(Now()); back < 50*time.Second {
		t.Errorf("a step of a minute back was %v", back)
	}
	for _, bad := range []Fault{{Drift: -1}, {Drift: 2}, {Drift: math.NaN()}, {Step: 2 * maxFault}} {
		if bad.Validate() == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
