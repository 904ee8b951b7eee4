package clocksync

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

func TestTheShortestRoundTripDecides(t *testing.T) {
	var o Offset
	ahead := 5 * time.Second
	for i := range 100 {
		asked := protocol.Time(i) * protocol.Time(time.Millisecond) * 20
		out, back := time.Duration(i%7)*time.Millisecond, time.Duration(i%3)*time.Millisecond
		o.Add(1, asked, asked.Add(out+back), asked.Add(out+ahead))
	}
	// Among the last 64 some had no delay at all: they are exact.
	at := protocol.Time(time.Hour)
	if got := o.Remote(at); got != at.Add(ahead) {
		t.Errorf("an hour is %v there, want %v", got, at.Add(ahead))
	}
	if got := o.Local(o.Remote(at)); got != at {
		t.Errorf("there and back: %v, want %v", got, at)
	}
}

func TestANewEpochIsAnotherClock(t *testing.T) {
	var o Offset
	for range Enough {
		o.Add(3, 10, 10, 1010)
	}
	if o.Epoch() != 3 || o.Remote(10) != 1010 {
		t.Fatalf("epoch %d, 10 is %d", o.Epoch(), o.Remote(10))
	}
	o.Add(2, 10, 10, 99) // a deposed scheduler
	if o.Remote(10) != 1010 {
		t.Error("an older epoch changed the offset")
	}
	o.Add(4, 10, 10, 510)
	if o.Epoch() != 0 || o.Remote(10) != 510 {
		t.Errorf("after one reading of epoch 4: epoch %d, 10 is %d", o.Epoch(), o.Remote(10))
	}
}

func TestNoInstantStaysNoInstant(t *testing.T) {
	var o Offset
	o.Add(1, 10, 10, 1000)
	for _, none := range []protocol.Time{0, protocol.Never} {
		if o.Local(none) != none || o.Remote(none) != none {
			t.Errorf("%v was converted", none)
		}
	}
}

func TestReadingsThatGoBackwardsAreIgnored(t *testing.T) {
	var o Offset
	o.Add(1, 20, 10, 1000)
	if o.Remote(5) != 5 {
		t.Error("an answer before its question counted")
	}
}

// TestAClockThatDriftsIsNoStep: NTP slews by 500 us a second, and where a message
// takes 20 us that shows after some readings. A step is far more.
func TestAClockThatDriftsIsNoStep(t *testing.T) {
	var o Offset
	for i := range 200 { // five seconds
		at := protocol.Time(i) * protocol.Time(25*time.Millisecond)
		drift := time.Duration(at) / 2000
		o.Add(1, at, at.Add(40*time.Microsecond), at.Add(20*time.Microsecond+drift))
	}
	if o.Steps() != 0 || o.Epoch() != 1 {
		t.Errorf("%d steps of a clock that drifts; the epoch is %d", o.Steps(), o.Epoch())
	}
	at := protocol.Time(6 * time.Second)
	o.Add(1, at, at.Add(40*time.Microsecond), at.Add(time.Second))
	if o.Steps() != 1 {
		t.Errorf("%d steps of a clock that was stepped by a second", o.Steps())
	}
}

// TestAnOldReadingDoesNotCount: a worker that rests asks seldom, and by the time
// that as many readings have come as are kept, the clocks have drifted apart.
func TestAnOldReadingDoesNotCount(t *testing.T) {
	var o Offset
	const drift = 20_000 // one part in so many
	offset := func(at protocol.Time) time.Duration { return time.Duration(at) / drift }
	for i := range 40 { // ten seconds, and the first answer was the quickest
		at := protocol.Time(i) * protocol.Time(250*time.Millisecond)
		trip := 60 * time.Microsecond
		if i == 0 {
			trip = 20 * time.Microsecond
		}
		o.Add(1, at, at.Add(trip), at.Add(trip/2+offset(at)))
	}
	by, _ := o.Ahead()
	last := offset(protocol.Time(39 * 250 * time.Millisecond))
	if wrong := (by - last).Abs(); wrong > 100*time.Microsecond+time.Microsecond {
		t.Errorf("the offset is %v, and was %v at the last answer", by, last)
	}
	if o.Steps() != 0 {
		t.Errorf("%d steps", o.Steps())
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
