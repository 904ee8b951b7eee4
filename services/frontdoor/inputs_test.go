package frontdoor

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// TestSmallInputsShareAMessage: what is dispatched together leaves together, up
// to a bound; all of it arrives, in order.
func TestSmallInputsShareAMessage(t *testing.T) {
	srv := bustest.Server(t)
	b := bustest.Open(t, srv)
	messages := make(chan []protocol.Input, 100)
	for _, worker := range []string{"w1", "w2"} {
		sub, err := b.Subscribe(b.Payload, b.Subjects.Input(worker), func(m *nats.Msg) {
			list, fault := wire.Inputs.Decode(m.Data)
			if fault != nil {
				t.Error(fault)
			}
			messages <- list
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = sub.Unsubscribe() }()
	}
	const smallMessage = 100
	boxes := newInputs(b, smallMessage)
	sizes := []int{10, 20, 30, smallMessage - 59, smallMessage + 1, 5, 5}
	for i, size := range sizes {
		boxes.Add("w1", protocol.Input{ID: protocol.RequestID{Seq: uint64(i)}, Data: make([]byte, size)})
	}
	boxes.Flush()
	next := uint64(0)
	for _, want := range []int{3, 1, 1, 2} {
		list := bustest.Next(t, "a message", messages)
		if len(list) != want {
			t.Errorf("%d inputs in a message, want %d", len(list), want)
		}
		for _, in := range list {
			if in.ID.Seq != next || len(in.Data) != sizes[next] {
				t.Errorf("input %d of %d bytes instead of %d", in.ID.Seq, len(in.Data), next)
			}
			next++
		}
	}
	boxes.Add("w2", protocol.Input{Data: []byte{1}})
	boxes.Flush()
	boxes.Flush()
	if list := bustest.Next(t, "a message", messages); len(list) != 1 || len(list[0].Data) != 1 {
		t.Errorf("the other worker got %v", list)
	}
	if boxes.Len() != 0 || len(messages) != 0 {
		t.Errorf("%d are left, %d too many", boxes.Len(), len(messages))
	}
}

// TestALargeBodyKeepsNobodyWaitingBeforeActivation: it is stored all the same.
func TestALargeBodyKeepsNobodyWaitingBeforeActivation(t *testing.T) {
	s := newStack(t)
	s.frontDoor()
	s.infer("a", `{"inputs":[{"name":"x","shape":[1,1000000],"datatype":"UINT8","data":[`+strings.Repeat("1,", 999_999)+`1]}]}`)
	s.infer("a", jsonInfer)
	s.awaitBuffered(2)
}

func TestHeadersMayBeInAnyCase(t *testing.T) {
	for _, name := range []string{protocol.TimeoutHeader, strings.ToLower(protocol.TimeoutHeader), strings.ToUpper(protocol.TimeoutHeader)} {
		if got := headerOf(nats.Header{name: {"5ms"}}, protocol.TimeoutHeader); got != "5ms" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
