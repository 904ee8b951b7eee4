package bus

import (
	"testing"
	"time"
)

// readFor reads as much as the paces let, in blocks, for a while, and returns the bytes of each.
func readFor(d time.Duration, paces []*readPace, now *time.Time) []int {
	const block = 32 << 10
	read := make([]int, len(paces))
	for end := now.Add(d); now.Before(end); *now = now.Add(20 * time.Microsecond) {
		for i, p := range paces {
			if p.wait() == 0 {
				p.spend(block)
				read[i] += block
			}
		}
	}
	return read
}

// TestALaneIsReadAtItsPace: alone at the shared rate and its own, beside a flood at its own
// at least, and each message costs something.
func TestALaneIsReadAtItsPace(t *testing.T) {
	now := time.Unix(1, 0)
	shared := &sharedPace{now: func() time.Time { return now }}
	alone := &readPace{shared: shared}
	const seconds = 4
	about := func(what string, got, want int) {
		t.Helper()
		if most := want + want/10; got < want-want/20 || got > most {
			t.Errorf("%s: %d MiB/s, expected about %d", what, got>>20, want>>20)
		}
	}
	about("alone", readFor(seconds*time.Second, []*readPace{alone}, &now)[0]/seconds, laneRate+sharedRate)

	// A lane that asks for less than its own rate is never kept waiting, beside any floods.
	floods := []*readPace{{shared: shared}, {shared: shared}, {shared: shared}}
	good := &readPace{shared: shared}
	waited := 0
	for i := 0; i < 200_000; i++ {
		now = now.Add(20 * time.Microsecond)
		for _, p := range floods {
			if p.wait() == 0 {
				p.spend(1 << 20)
			}
		}
		if i%200 == 0 { // 250 times a second 32 KiB: half of its rate
			if good.wait() > 0 {
				waited++
			}
			good.spend(32 << 10)
		}
	}
	if waited > 0 {
		t.Errorf("a lane with half of its own rate waited %d times", waited)
	}
	// All together get no more than there is.
	sum := 0
	for _, n := range readFor(seconds*time.Second, floods, &now) {
		sum += n
	}
	about("three floods", sum/seconds, 3*laneRate+sharedRate)

	// Small messages are read no faster than they can be taken.
	small, messages := &readPace{shared: shared}, 0
	for end := now.Add(seconds * time.Second); now.Before(end); now = now.Add(20 * time.Microsecond) {
		if small.wait() == 0 {
			for range 100 {
				small.spend(64 + messageCost)
				messages++
			}
		}
	}
	about("small messages", messages*(64+messageCost)/seconds, laneRate+sharedRate)

	var none *readPace
	if none.spend(1 << 30); none.wait() != 0 {
		t.Error("without a pace there is none")
	}
}
