package gateway

import (
	"bytes"
	"net/http"
	"strconv"
	"testing"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// TestALargeBodyOnALargerBroker: where the broker carries it, a tensor of 40 MB goes in and comes
// out over HTTP. More is refused with what the broker carries.
func TestALargeBodyOnALargerBroker(t *testing.T) {
	const size = 40 << 20
	srv, err := bus.StartServer(bus.ServerConfig{Host: "127.0.0.1", Port: -1, DataDir: t.TempDir(), MaxPayload: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.StopServer(srv) })
	s := newStackOn(t, srv, nil)
	huge := bustest.Spec("huge", "zoo/huge")
	huge.Inputs = []protocol.TensorSpec{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{size}}}
	huge.Outputs = []protocol.TensorSpec{{Name: "y", Datatype: protocol.Uint8, Shape: []int64{size}}}
	huge.BatchSizes = []int{1}
	if err := s.writer.PutModel(t.Context(), huge); err != nil {
		t.Fatal(err)
	}
	s.activate()
	bustest.Until(t, "the model is there", func() bool { status, _ := s.get("/v2/models/huge/ready"); return status == http.StatusOK })
	data := bytes.Repeat([]byte("clockwork"), size/9+1)[:size]
	a := s.infer("huge", data, wire.HeaderLength, "0")
	head, err := strconv.Atoi(a.header.Get(wire.HeaderLength))
	if a.status != http.StatusOK || err != nil || !bytes.Equal(a.body[head:], data) {
		t.Fatalf("%d %v, %d bytes", a.status, a.header, len(a.body))
	}
	if a := s.infer("huge", make([]byte, 65<<20), wire.HeaderLength, "0"); a.status != http.StatusRequestEntityTooLarge || a.field("limit") != float64(64<<20) {
		t.Errorf("more than the broker carries: %d %.300s", a.status, a.body)
	}
}
