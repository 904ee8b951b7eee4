package clock

import (
	"testing"
	"time"
)

func TestAnAlarmRingsAfterAWhileOrWhenPoked(t *testing.T) {
	a := NewAlarm()
	defer a.Close()
	begin := time.Now()
	for time.Since(begin) < 2*time.Millisecond {
		a.Sleep(2*time.Millisecond - time.Since(begin))
	}
	a.Poke()
	a.Poke() // two that nobody heard wake once
	done := make(chan struct{})
	go func() {
		defer close(done)
		a.Sleep(time.Hour)
	}()
	<-done // would hang without the poke
	go func() { a.Poke() }()
	a.Sleep(time.Hour)
}
