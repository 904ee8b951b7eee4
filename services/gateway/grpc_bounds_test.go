package gateway

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"clockwork/pkg/testkit/bustest"
	"clockwork/services/gateway/grpcapi/oippb"
)

// frames is a client that speaks HTTP/2 frame by frame.
type frames struct {
	net.Conn
	*http2.Framer
	t testing.TB
}

// dialFrames connects.
func (s *stack) dialFrames() *frames {
	s.t.Helper()
	c, err := net.Dial("tcp", s.config.GRPC.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(bustest.Wait)); err != nil {
		s.t.Fatal(err)
	}
	f := &frames{c, http2.NewFramer(c, c), s.t}
	f.did(io.WriteString(c, http2.ClientPreface))
	f.must(f.WriteSettings())
	return f
}

func (f *frames) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *frames) did(_ int, err error) {
	f.t.Helper()
	f.must(err)
}

// begin opens a call.
func (f *frames) begin(id uint32, method string) {
	f.t.Helper()
	f.must(f.open(id, method))
}

// open is begin on a connection that may have ended.
func (f *frames) open(id uint32, method string) error {
	f.t.Helper()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":path", inference + method}, {":authority", "x"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
		f.must(enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}))
	}
	return f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true})
}

// part sends the first bytes of a message that is said to be longer.
func (f *frames) part(id uint32, length int, body []byte) {
	f.t.Helper()
	f.must(f.WriteData(id, false, append(binary.BigEndian.AppendUint32([]byte{0}, uint32(length)), body...)))
}

// ends reads until the connection ends, and fails if it does not.
func (f *frames) ends(what string) {
	f.t.Helper()
	_, err := io.Copy(io.Discard, f.Conn)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		f.t.Errorf("%s: the connection does not end: %v", what, err)
	}
}

// TestMessagesThatDoNotCome end their connections in time, whatever of them has come, and hold
// nothing; others are served meanwhile.
func TestMessagesThatDoNotCome(t *testing.T) {
	s := serving(t, func(c *Config) { c.GRPC.MessageTime, c.ReadingBytes = 200*time.Millisecond, 1<<20 })
	slow := map[string]*frames{}
	for what, send := range map[string]func(*frames){
		"no message":                 func(f *frames) { f.begin(1, "ModelInfer") },
		"no message of another call": func(f *frames) { f.begin(1, "ModelMetadata") },
		"the head of a message":      func(f *frames) { f.begin(1, "ModelInfer"); f.must(f.WriteData(1, false, []byte{0, 0})) },
		"a part of a message":        func(f *frames) { f.begin(1, "ModelInfer"); f.part(1, 500_000, make([]byte, 10_000)) },
		"a part of a message, padded": func(f *frames) {
			f.begin(1, "ModelInfer")
			f.must(f.WriteDataPadded(1, false, []byte{0, 0, 0, 1, 0, 7}, make([]byte, 200)))
		},
		"a part of one of many messages": func(f *frames) { f.begin(1, "ModelStreamInfer"); f.part(1, 500_000, make([]byte, 10_000)) },
	} {
		f := s.dialFrames()
		send(f)
		slow[what] = f
	}
	if _, err := s.inferOver(t.Context(), rawInfer("")); err != nil {
		t.Errorf("beside them: %v", err)
	}
	for what, f := range slow {
		f.ends(what)
	}
	if status, _ := s.get("/v2/health/ready"); status != 200 {
		t.Errorf("then: %d", status)
	}
}

// TestMessagesThatAreReadAreBounded, all together: the connection that goes beyond ends.
func TestMessagesThatAreReadAreBounded(t *testing.T) {
	s := serving(t, func(c *Config) { c.ReadingBytes, c.GRPC.MessageTime = 100<<10, time.Hour }) // it ends for no other reason
	f := s.dialFrames()
	for id := uint32(1); id < 21; id += 2 { // it may have ended before the last of them
		_ = f.open(id, "ModelInfer")
		_ = f.WriteData(id, false, append(binary.BigEndian.AppendUint32([]byte{0}, 500_000), make([]byte, 15_000)...))
	}
	f.ends("more than may be held")
	for range 20 { // what was held is given back
		if _, err := s.inferOver(t.Context(), rawInfer("")); err != nil {
			t.Fatalf("then: %v", err)
		}
	}
}

// TestAnswersThatAreNotRead end their connection in time; beyond the bound of all of them, new
// requests are refused until then.
func TestAnswersThatAreNotRead(t *testing.T) {
	s := serving(t, func(c *Config) { c.GRPC.AnswerTime, c.GRPC.UnreadBytes = time.Second, 350_000 })
	big := &oippb.ModelInferRequest{
		ModelName: "big", Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "UINT8", Shape: []int64{4, 100_000}}},
		RawInputContents: [][]byte{make([]byte, 400_000)},
	}
	other := s.dialGRPC(grpc.WithInitialWindowSize(64 << 10)) // it is sent no more before it reads
	stream, err := other.NewStream(t.Context(), &streamInfer, inference+"ModelStreamInfer")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.SendMsg(big); err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "others are refused", func() bool {
		_, err := s.inferOver(t.Context(), rawInfer(""))
		return status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "not read")
	})
	bustest.Until(t, "the connection ended, and others are served", func() bool {
		_, err := s.inferOver(t.Context(), rawInfer(""))
		return err == nil
	})
}

// TestCallsAreBounded: those whose message has not come, those with many messages, and
// connections.
func TestCallsAreBounded(t *testing.T) {
	s := serving(t, func(c *Config) { c.GRPC.WaitingCalls, c.GRPC.Streams = 3, 2 })
	f := s.dialFrames()
	for id := uint32(1); id < 7; id += 2 {
		f.begin(id, "ModelInfer")
	}
	bustest.Until(t, "another call is refused", func() bool {
		_, err := s.inferOver(t.Context(), rawInfer(""))
		return status.Code(err) == codes.ResourceExhausted && strings.Contains(err.Error(), "OVERLOADED")
	})
	_ = f.Close()
	bustest.Until(t, "the calls ended", func() bool {
		_, err := s.inferOver(t.Context(), rawInfer(""))
		return err == nil
	})
	for range 2 {
		stream := s.stream(t.Context())
		if err := stream.SendMsg(rawInfer("")); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&oippb.ModelStreamInferResponse{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.stream(t.Context()).RecvMsg(&oippb.ModelStreamInferResponse{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a third stream: %v", err)
	}
}

func TestConnectionsOfGRPCAreBounded(t *testing.T) {
	s := serving(t, func(c *Config) { c.GRPC.Connections = 2 })
	settings := func(f *frames) bool {
		_, err := f.ReadFrame()
		return err == nil
	}
	first, second, third := s.dialFrames(), s.dialFrames(), s.dialFrames()
	if !settings(first) || !settings(second) {
		t.Error("two connections are not served")
	}
	_ = first.Close()
	if !settings(third) {
		t.Error("the third is not served when the first has ended")
	}
}
