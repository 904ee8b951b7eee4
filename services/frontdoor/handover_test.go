package frontdoor

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// TestG3MoreThanFitsIsHandedOverAsThereIsRoom: the startup buffer holds more than a front door
// may have in flight. Whoever was let in is served, one after the other, and nobody is
// answered OVERLOADED.
func TestG3MoreThanFitsIsHandedOverAsThereIsRoom(t *testing.T) {
	s := newStack(t)
	s.config.BufferTimeout, s.config.MaxInFlightBytes = time.Minute, 16<<20
	s.frontDoor()
	const requests, size = 48, 1 << 20
	slo := 60_000.0
	body := wire.EncodeInfer(&protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo},
		Inputs: []protocol.Tensor{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{1, size}, Data: make([]byte, size)}}})
	var replies []chan *nats.Msg
	for range requests {
		replies = append(replies, s.infer("big", string(body)))
	}
	s.awaitBuffered(requests)
	big := bustest.Spec("big", "zoo/big")
	big.Inputs = []protocol.TensorSpec{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{size}}}
	if err := s.leads().PutModel(t.Context(), big); err != nil {
		t.Fatal(err)
	}
	s.activate()
	most := int64(0)
	for range requests {
		r := bustest.Next(t, "a submission", s.submit)
		if n := s.door.snapshot().Bytes; n > s.config.MaxInFlightBytes {
			t.Errorf("%d bytes are in flight", n)
		} else {
			most = max(most, n)
		}
		s.output(r, raw)
	}
	for i, c := range replies {
		if code := codeOf(t, bustest.Next(t, "a reply", c)); code != protocol.OK {
			t.Errorf("request %d: %s", i, code)
		}
	}
	if most < 2*size {
		t.Errorf("%d bytes in flight at most", most)
	}
	s.awaitBuffered(0)
}
