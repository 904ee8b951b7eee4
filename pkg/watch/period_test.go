package watch

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAPeriodEndsAWhileAfterItsFirstEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var ends []time.Duration
		p := NewPeriod(10*time.Second, func(began, now time.Time) {
			ends = append(ends, began.Sub(start), now.Sub(start))
		})
		time.Sleep(time.Minute) // nothing happens
		p.Begin()
		time.Sleep(4 * time.Second)
		p.Begin() // is in it
		time.Sleep(time.Minute)
		p.Begin()
		time.Sleep(time.Second)
		p.Hurry()
		synctest.Wait()
		p.Close()
		want := []time.Duration{60 * time.Second, 70 * time.Second, 124 * time.Second, 125 * time.Second}
		if len(ends) != len(want) {
			t.Fatalf("periods %v, want %v", ends, want)
		}
		for i := range want {
			if ends[i] != want[i] {
				t.Errorf("periods %v, want %v", ends, want)
			}
		}
	})
}

func TestCloseEndsThePeriodThatHasBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := 0
		p := NewPeriod(time.Hour, func(began, now time.Time) { ended++ })
		p.Begin()
		if !p.Begun() {
			t.Error("it has not begun")
		}
		p.Close()
		if ended != 1 {
			t.Errorf("it ended %d times", ended)
		}
		NewPeriod(time.Hour, func(began, now time.Time) { t.Error("a period without an event") }).Close()
	})
}
