package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/bench"
	"clockwork/pkg/protocol"
)

var picture = bench.NewInputs(sample())

// answerTo sends a request over a new line and returns its code.
func answerTo(t *testing.T, protocolName, url string, within time.Duration) protocol.Code {
	t.Helper()
	lines, closeLines, err := protocols[protocolName](url)
	if err != nil {
		t.Fatal(err)
	}
	defer closeLines()
	codes := make(chan protocol.Code, 1)
	if err := lines[0].Open(func(token uint64, o client.Outcome) {
		if token != 7 {
			t.Errorf("an answer to request %d", token)
		}
		codes <- o.Code
	}); err != nil {
		t.Fatal(err)
	}
	if err := lines[0].Send(7, "m01", picture, within); err != nil {
		t.Fatal(err)
	}
	return <-codes
}

// tensorServer answers with a status and so many bytes, after see has read the request.
func tensorServer(t *testing.T, status, bytes int, see func(r *http.Request, body []byte)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		see(r, body)
		w.WriteHeader(status)
		_, _ = w.Write(make([]byte, bytes))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestARequestOfTheOpenInferenceProtocolIsJSONAndATensor(t *testing.T) {
	see := func(r *http.Request, body []byte) {
		size, err := strconv.Atoi(r.Header.Get("Inference-Header-Content-Length"))
		if err != nil || r.URL.Path != "/v2/models/m01/infer" || string(body[size:]) != string(picture.Tensors[0].Data) {
			t.Fatalf("%s with a head of %d of %d bytes: %v", r.URL.Path, size, len(body), err)
		}
		var head struct {
			Parameters struct{ Timeout int }
			Inputs     []struct {
				Name, Datatype string
				Shape          []int
			}
		}
		if err := json.Unmarshal(body[:size], &head); err != nil {
			t.Fatal(err)
		}
		if in := head.Inputs[0]; in.Name != "data" || in.Datatype != "FP32" || len(in.Shape) != 4 || head.Parameters.Timeout != 42000 {
			t.Errorf("%+v", head)
		}
	}
	if code := answerTo(t, "oip-http", tensorServer(t, 200, answerBytes, see), 42*time.Millisecond); code != protocol.OK {
		t.Error(code)
	}
}

func TestARawRequestIsATensor(t *testing.T) {
	see := func(r *http.Request, body []byte) {
		if r.Header.Get("X-Model") != "m01" || string(body) != string(picture.Tensors[0].Data) {
			t.Errorf("%v with %d bytes", r.Header, len(body))
		}
	}
	for status, want := range map[int]protocol.Code{200: protocol.OK, 429: protocol.Overloaded, 503: protocol.Overloaded, 504: protocol.DeadlineExceeded, 500: protocol.Internal} {
		if code := answerTo(t, "raw", tensorServer(t, status, answerBytes, see), time.Second); code != want {
			t.Errorf("%d is %s, want %s", status, code, want)
		}
	}
	if code := answerTo(t, "raw", tensorServer(t, 200, 10, see), time.Second); code != protocol.BadMessage {
		t.Errorf("an answer without a tensor is %s", code)
	}
	if code := answerTo(t, "raw", "http://127.0.0.1:1", time.Second); code != protocol.StateUnavailable {
		t.Errorf("nobody is %s", code)
	}
}

// encodedServer answers gRPC requests with an error or so many bytes, after see has read the message.
func encodedServer(t *testing.T, refusal error, bytes int, see func(message []byte)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(grpc.ForceServerCodecV2(wholeCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			return err
		}
		if method, _ := grpc.MethodFromServerStream(stream); !strings.HasSuffix(method, "/ModelInfer") {
			t.Errorf("the method %s", method)
		}
		see(message)
		if refusal != nil {
			return refusal
		}
		return stream.SendMsg(make([]byte, bytes))
	}))
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	return listener.Addr().String()
}

func TestAGRPCRequestHasRawContents(t *testing.T) {
	see := func(message []byte) {
		model, raw := fieldOf(message, 1), fieldOf(message, 7)
		if input := fieldOf(message, 5); string(model) != "m01" || string(raw) != string(picture.Tensors[0].Data) || string(fieldOf(input, 1)) != "data" || string(fieldOf(input, 2)) != "FP32" {
			t.Errorf("model %q, input %q, %d bytes", model, input, len(raw))
		}
	}
	if code := answerTo(t, "oip-grpc", encodedServer(t, nil, answerBytes, see), 5*time.Second); code != protocol.OK {
		t.Error(code)
	}
	for refusal, want := range map[codes.Code]protocol.Code{
		codes.ResourceExhausted: protocol.Overloaded, codes.DeadlineExceeded: protocol.DeadlineExceeded, codes.Internal: protocol.Internal,
	} {
		if code := answerTo(t, "oip-grpc", encodedServer(t, status.Error(refusal, "no"), 0, see), 5*time.Second); code != want {
			t.Errorf("%s is %s, want %s", refusal, code, want)
		}
	}
}

// fieldOf returns the first bytes of a field.
func fieldOf(message []byte, number protowire.Number) []byte {
	for len(message) > 0 {
		n, kind, size := protowire.ConsumeTag(message)
		if size < 0 || kind != protowire.BytesType {
			return nil
		}
		value, read := protowire.ConsumeBytes(message[size:])
		if read < 0 || n == number {
			return value
		}
		message = message[size+read:]
	}
	return nil
}
