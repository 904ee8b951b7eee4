package sched

import (
	"fmt"
	"slices"
	"testing"

	"clockwork/pkg/protocol"
)

// Requests are known by a map. What is handed back of them all at once comes in
// the order of their arrival, whoever waits and whoever runs: two replays of one
// recording must not differ.
func TestWhatIsHandedBackComesInTheOrderOfArrival(t *testing.T) {
	for what, event := range map[string]Event{
		"a new epoch":                     &Activate{Epoch: 2, Issuer: 7},
		"a worker that obeys another one": &Result{protocol.Result{Worker: "w", Epoch: 9}},
	} {
		var parts []part
		for i := range 5 {
			parts = append(parts, part{name: fmt.Sprintf("m%d", i), any: true, exec: []float64{5, 6, 7}})
		}
		r := newRig(t, "clockwork", Defaults(), parts...)
		r.join(0, "w", 5, "m0", "m1")
		for i := range 100 {
			r.submit(0, fmt.Sprintf("m%d", i%5), 1000-float64(i)) // by deadline it would be the reverse
		}
		var back []uint64
		for _, d := range r.step(1, event).Refusals {
			back = append(back, d.ID.Seq)
		}
		if len(back) < 90 || !slices.IsSorted(back) {
			t.Errorf("%s: handed back are %v, expected nearly all in order", what, back)
		}
	}
}
