package local

import (
	"bytes"
	"slices"
	"sync"
	"testing"

	"clockwork/pkg/protocol"
)

func id(seq uint64) protocol.RequestID { return protocol.RequestID{Door: 7, Seq: seq} }

func TestPayloadsAreHandedOverByReferenceAndInOrder(t *testing.T) {
	x := New()
	var inputs []protocol.Input
	var outputs []ExecutedRequest
	leaveWorker := x.Worker("w", func(list []protocol.Input) { inputs = append(inputs, list...) })
	leaveDoor := x.FrontDoor(7, func(list []ExecutedRequest) { outputs = append(outputs, list...) })
	data := bytes.Repeat([]byte{1}, 1000)
	const count = 1000
	for seq := range uint64(count) {
		in, out := []protocol.Input{{ID: id(seq), Data: data}}, []protocol.Output{{ID: id(seq), Data: data}}
		if !x.Inputs("w", in) || !x.Outputs("w", 7, out) {
			t.Fatal("a payload was not taken")
		}
		in[0], out[0] = protocol.Input{}, protocol.Output{} // the lists are the caller's again
	}
	leaveWorker()
	leaveDoor()
	if len(inputs) != count || len(outputs) != count {
		t.Fatalf("%d inputs and %d outputs arrived, expected %d of each", len(inputs), len(outputs), count)
	}
	for i := range inputs {
		if inputs[i].ID != id(uint64(i)) || &inputs[i].Data[0] != &data[0] {
			t.Fatalf("input %d is %v, or a copy", i, inputs[i].ID)
		}
		if outputs[i].ID != id(uint64(i)) || outputs[i].Worker != "w" || &outputs[i].Data[0] != &data[0] {
			t.Fatalf("output %d is %v of %q, or a copy", i, outputs[i].ID, outputs[i].Worker)
		}
	}
}

func TestWhoIsNotInThisProcessGetsNothing(t *testing.T) {
	var none *Exchange
	defer none.Worker("w", nil)()
	defer none.FrontDoor(7, nil)()
	x := New()
	defer x.Worker("other", func([]protocol.Input) { t.Error("the wrong worker got inputs") })()
	defer x.FrontDoor(8, func([]ExecutedRequest) { t.Error("the wrong front door got outputs") })()
	x.Worker("w", func([]protocol.Input) { t.Error("a worker that left got inputs") })()
	x.FrontDoor(7, func([]ExecutedRequest) { t.Error("a front door that left got outputs") })()
	for name, x := range map[string]*Exchange{"no exchange": none, "strangers": x} {
		if x.Inputs("w", []protocol.Input{{ID: id(1)}}) || x.Outputs("w", 7, []protocol.Output{{ID: id(1)}}) {
			t.Errorf("%s: a payload was taken", name)
		}
	}
}

// A worker that starts again has its name from then on; that its former life leaves late
// changes nothing.
func TestTheLatestLifeHasTheName(t *testing.T) {
	x := New()
	former := x.Worker("w", func([]protocol.Input) { t.Error("the former life got inputs") })
	got := 0
	leave := x.Worker("w", func(list []protocol.Input) { got += len(list) })
	former()
	if !x.Inputs("w", []protocol.Input{{ID: id(1)}}) {
		t.Error("an input was not taken")
	}
	if leave(); got != 1 {
		t.Errorf("%d inputs arrived, expected 1", got)
	}
}

// What was accepted is taken before leave returns, and nothing after it; one call at a time.
func TestLeavingWaitsForWhatWasTaken(t *testing.T) {
	for range 200 {
		x := New()
		var taken []uint64
		left := false
		leave := x.Worker("w", func(list []protocol.Input) {
			if left {
				t.Error("inputs were taken after the worker had left")
			}
			for i := range list {
				taken = append(taken, list[i].ID.Seq)
			}
		})
		var accepted []uint64
		var mu sync.Mutex
		var senders sync.WaitGroup
		for s := range uint64(4) {
			senders.Go(func() {
				for n := range uint64(50) {
					if seq := s*50 + n; x.Inputs("w", []protocol.Input{{ID: id(seq)}}) {
						mu.Lock()
						accepted = append(accepted, seq)
						mu.Unlock()
					}
				}
			})
		}
		leave()
		left = true
		senders.Wait()
		slices.Sort(taken)
		slices.Sort(accepted)
		if !slices.Equal(taken, accepted) {
			t.Fatalf("%d inputs were accepted and %d taken", len(accepted), len(taken))
		}
	}
}
