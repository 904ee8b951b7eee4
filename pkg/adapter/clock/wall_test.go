package clock

import (
	"testing"
	"time"
)

func TestInstantsStandOnTheWall(t *testing.T) {
	before, at, after := time.Now(), Now(), time.Now()
	wall := Wall()
	if got := wall(at); got.Before(before) || got.After(after) {
		t.Errorf("%v is not between %v and %v", got, before, after)
	}
	if got := wall(at.Add(time.Hour)).Sub(wall(at)); got != time.Hour {
		t.Errorf("an hour is %v on the wall", got)
	}
}
