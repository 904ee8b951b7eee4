package replay

import (
	"io"
	"testing"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/protocol"
)

// BenchmarkFrontDoor is what an event of a front door costs, with a recording and without.
// A request is four events.
func BenchmarkFrontDoor(b *testing.B) {
	w, err := recorder.NewDirect(io.Discard)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		o    frontdoor.Observer
	}{{"unrecorded", frontdoor.Observers{}}, {"recorded", w.FrontDoor()}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			d := newDoor(b, c.o)
			d.step(&frontdoor.StageSeen{Stage: protocol.Active})
			d.step(&frontdoor.ModelSeen{Spec: served})
			d.beat(1)
			for seq := uint64(1); b.Loop(); seq++ {
				d.send("a", "")
				d.decoded(0)
				d.word(seq, protocol.ToWorker)
				d.output(seq, "w1")
				d.open = d.open[:0]
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(4*b.N), "ns/event")
		})
	}
}
