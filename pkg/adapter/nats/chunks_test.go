package bus

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

func TestLargeMessagesTravelInParts(t *testing.T) {
	b := open(t)
	type got struct {
		state protocol.ClockworkState
		fault *protocol.Error
	}
	whole := make(chan got, 10)
	chunks := wire.NewChunks(wire.Start)
	sub, err := b.Subscribe(b.Control, "large", func(m *nats.Msg) {
		if v, done, fault := chunks.Add(m.Data); done || fault != nil {
			whole <- got{v, fault}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	large := protocol.ClockworkState{}
	for i := range 130_000 {
		large.Models = append(large.Models, protocol.ModelSpec{Name: fmt.Sprintf("%064d", i), WeightsBytes: int64(i)})
	}
	body := wire.Start.Encode(&large)
	if len(body) <= MaxPayload {
		t.Fatalf("%d bytes prove nothing", len(body))
	}
	for _, state := range []protocol.ClockworkState{large, {PageSize: 5}} {
		if err := b.PublishChunks(b.Control, "large", wire.Start.Encode(&state)); err != nil {
			t.Fatal(err)
		}
		g := receive(t, whole)
		if g.fault != nil || len(g.state.Models) != len(state.Models) || g.state.PageSize != state.PageSize {
			t.Errorf("%d models, %v", len(g.state.Models), g.fault)
		}
	}
}
