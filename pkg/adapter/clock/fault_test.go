package clock

import (
	"math"
	"testing"
	"time"

	"clockwork/pkg/protocol"
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

// TestAStepShowsAtOnce: the readings of before count no more, however short their
// round trips were.
func TestAStepShowsAtOnce(t *testing.T) {
	var o Offset
	at := protocol.Time(time.Hour)
	for range window {
		at = at.Add(25 * time.Millisecond)
		o.Add(1, at, at.Add(100*time.Microsecond), at.Add(50*time.Microsecond+time.Second))
	}
	if got := o.Remote(at).Sub(at); got != time.Second || o.Steps() != 0 {
		t.Fatalf("the offset is %v after %d steps", got, o.Steps())
	}
	at = at.Add(-3 * time.Second) // the local clock is stepped back
	o.Add(1, at, at.Add(10*time.Millisecond), at.Add(5*time.Millisecond+4*time.Second))
	if got := o.Remote(at).Sub(at); got != 4*time.Second || o.Steps() != 1 || o.Epoch() != 0 {
		t.Errorf("the offset is %v, steps %d, epoch %d", got, o.Steps(), o.Epoch())
	}
	for range Enough {
		o.Add(1, at, at.Add(time.Millisecond), at.Add(4*time.Second))
	}
	if o.Epoch() != 1 || o.Steps() != 1 {
		t.Errorf("epoch %d, steps %d", o.Epoch(), o.Steps())
	}
}

// TestSlowReadingsAreNoStep: with what is known of them they may all be right.
func TestSlowReadingsAreNoStep(t *testing.T) {
	var o Offset
	at := protocol.Time(time.Hour)
	for i := range 1000 {
		at = at.Add(25 * time.Millisecond)
		out, back := time.Duration(i%7)*time.Millisecond, time.Duration(i%11)*time.Millisecond
		o.Add(1, at, at.Add(out+back), at.Add(out+time.Second))
	}
	if o.Steps() != 0 {
		t.Errorf("%d steps", o.Steps())
	}
}
