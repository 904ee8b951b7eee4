package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/services/gateway/grpcapi/oippb"
)

const inference = "/inference.GRPCInferenceService/"

// dialGRPC makes a connection of its own, which is opened by the first call.
func (s *stack) dialGRPC(options ...grpc.DialOption) *grpc.ClientConn {
	s.t.Helper()
	cc, err := grpc.NewClient("passthrough:///"+s.config.GRPC.Listener.Addr().String(), append(options, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry())...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cc.Close() })
	return cc
}

// call calls a method of the inference service.
func (s *stack) call(method string, in, out proto.Message, options ...grpc.CallOption) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), bustest.Wait)
	defer cancel()
	return s.grpc.Invoke(ctx, inference+method, in, out, options...)
}

// inferOver sends a request without a deadline of gRPC.
func (s *stack) inferOver(ctx context.Context, in *oippb.ModelInferRequest, options ...grpc.CallOption) (*oippb.ModelInferResponse, error) {
	out := &oippb.ModelInferResponse{}
	ctx, cancel := context.WithCancel(ctx)
	defer time.AfterFunc(bustest.Wait, cancel).Stop()
	return out, s.grpc.Invoke(ctx, inference+"ModelInfer", in, out, options...)
}

// rawInfer is a request for the model a with raw contents.
func rawInfer(id string) *oippb.ModelInferRequest {
	return &oippb.ModelInferRequest{
		ModelName: "a", Id: id,
		Inputs:           []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "FP32", Shape: []int64{1, 2}}},
		RawInputContents: [][]byte{raw},
	}
}

func number(v int64) *oippb.InferParameter {
	return &oippb.InferParameter{ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: v}}
}

func text(v string) *oippb.InferParameter {
	return &oippb.InferParameter{ParameterChoice: &oippb.InferParameter_StringParam{StringParam: v}}
}

func TestWhatAClientOfGRPCMaySee(t *testing.T) {
	s := serving(t, nil)
	for _, c := range []struct {
		method        string
		in, out, want proto.Message
	}{
		{"ServerLive", &oippb.ServerLiveRequest{}, &oippb.ServerLiveResponse{}, &oippb.ServerLiveResponse{Live: true}},
		{"ServerReady", &oippb.ServerReadyRequest{}, &oippb.ServerReadyResponse{}, &oippb.ServerReadyResponse{Ready: true}},
		{"ModelReady", &oippb.ModelReadyRequest{Name: "big", Version: "3"}, &oippb.ModelReadyResponse{}, &oippb.ModelReadyResponse{Ready: true}},
		{"ModelMetadata", &oippb.ModelMetadataRequest{Name: "a"}, &oippb.ModelMetadataResponse{}, &oippb.ModelMetadataResponse{
			Name: "a", Versions: []string{"1"}, Platform: "clockwork",
			Inputs:  []*oippb.ModelMetadataResponse_TensorMetadata{{Name: "x", Datatype: "FP32", Shape: []int64{-1, 2}}},
			Outputs: []*oippb.ModelMetadataResponse_TensorMetadata{{Name: "y", Datatype: "FP32", Shape: []int64{-1, 2}}},
		}},
		{"ModelConfig", &oippb.ModelConfigRequest{Name: "pair"}, &oippb.ModelConfigResponse{}, &oippb.ModelConfigResponse{Config: &oippb.ModelConfig{
			Name: "pair", Platform: "clockwork", MaxBatchSize: 4,
			Input:  []*oippb.ModelInput{{Name: "x", DataType: oippb.DataType_TYPE_FP32, Dims: []int64{2}}, {Name: "n", DataType: oippb.DataType_TYPE_UINT8}},
			Output: []*oippb.ModelOutput{{Name: "y", DataType: oippb.DataType_TYPE_FP32, Dims: []int64{2}}, {Name: "m", DataType: oippb.DataType_TYPE_UINT8}},
		}}},
	} {
		if err := s.call(c.method, c.in, c.out); err != nil || !proto.Equal(c.out, c.want) {
			t.Errorf("%s: %v, %v", c.method, c.out, err)
		}
	}
	var m oippb.ServerMetadataResponse
	if err := s.call("ServerMetadata", &oippb.ServerMetadataRequest{}, &m); err != nil || m.Name != "clockwork" || m.Version != "v0" || len(m.Extensions) == 0 {
		t.Errorf("%v, %v", &m, err)
	}
	for method, want := range map[string]codes.Code{"SystemSharedMemoryStatus": codes.Unimplemented, "TraceSetting": codes.Unimplemented, "Nothing": codes.Unimplemented} {
		if err := s.call(method, &oippb.ServerLiveRequest{}, &oippb.ServerLiveResponse{}); status.Code(err) != want {
			t.Errorf("%s: %v", method, err)
		}
	}
}

// TestInferOverGRPC: raw and typed contents mean the same, with and without compression.
func TestInferOverGRPC(t *testing.T) {
	s := serving(t, nil)
	contents := rawInfer("r1")
	contents.RawInputContents, contents.Inputs[0].Contents = nil, &oippb.InferTensorContents{Fp32Contents: []float32{1, 2.5}}
	version := rawInfer("r1")
	version.ModelVersion = "1"
	for name, c := range map[string]struct {
		in      *oippb.ModelInferRequest
		options []grpc.CallOption
	}{
		"raw": {in: rawInfer("r1")}, "typed": {in: contents}, "with a version": {in: version},
		"gzip":    {rawInfer("r1"), []grpc.CallOption{grpc.UseCompressor(gzip.Name)}},
		"deflate": {contents, []grpc.CallOption{grpc.UseCompressor("deflate")}},
	} {
		out, err := s.inferOver(t.Context(), c.in, c.options...)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		y := out.GetOutputs()
		if out.ModelName != "a" || out.ModelVersion != "1" || out.Id != "r1" || len(y) != 1 || y[0].Name != "y" || y[0].Datatype != "FP32" ||
			len(y[0].Shape) != 2 || len(out.RawOutputContents) != 1 || !bytes.Equal(out.RawOutputContents[0], raw) {
			t.Errorf("%s: %v", name, out)
		}
		p := out.GetParameters()
		if p["worker"].GetStringParam() != "w1" || p["latency_us"].GetInt64Param() <= 0 || p["batch_size"].GetInt64Param() != 1 || p["cold_start"] == nil || p["buffered_ms"] == nil || p["exec_us"] == nil {
			t.Errorf("%s: parameters %v", name, p)
		}
	}
	if out, err := s.inferOver(t.Context(), &oippb.ModelInferRequest{ModelName: "a"}); err != nil || len(out.RawOutputContents) != 1 {
		t.Errorf("generated: %v, %v", out, err)
	}
	two := &oippb.ModelInferRequest{
		ModelName: "pair",
		Inputs: []*oippb.ModelInferRequest_InferInputTensor{
			{Name: "n", Datatype: "UINT8", Shape: []int64{1}, Contents: &oippb.InferTensorContents{UintContents: []uint32{7}}},
			{Name: "x", Datatype: "FP32", Shape: []int64{1, 2}, Contents: &oippb.InferTensorContents{Fp32Contents: []float32{1, 2.5}}},
		},
		Outputs: []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "m"}},
	}
	if out, err := s.inferOver(t.Context(), two); err != nil || len(out.Outputs) != 1 || out.Outputs[0].Name != "m" || !bytes.Equal(out.RawOutputContents[0], []byte{7}) {
		t.Errorf("two inputs, one output: %v, %v", out, err)
	}
	many := &oippb.ModelInferRequest{
		ModelName: "big", Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "UINT8", Shape: []int64{4, 100_000}}},
		RawInputContents: [][]byte{bytes.Repeat([]byte{1, 2, 3}, 400_000)[:400_000]},
	}
	if out, err := s.inferOver(t.Context(), many); err != nil || !bytes.Equal(out.RawOutputContents[0], many.RawInputContents[0]) {
		t.Errorf("a large batch: %v", err)
	}
}

// TestRefusalsInTermsOfGRPC: status, code and text of whatever a client may do wrong. After
// each the gateway serves as before.
func TestRefusalsInTermsOfGRPC(t *testing.T) {
	s := serving(t, func(c *Config) { c.DefaultSLO = protocol.MaxSLO })
	with := func(change func(*oippb.ModelInferRequest)) *oippb.ModelInferRequest {
		r := rawInfer("r1")
		change(r)
		return r
	}
	parameter := func(key string, p *oippb.InferParameter) *oippb.ModelInferRequest {
		return with(func(r *oippb.ModelInferRequest) { r.Parameters = map[string]*oippb.InferParameter{key: p} })
	}
	typed := func(datatype string, c *oippb.InferTensorContents) *oippb.ModelInferRequest {
		return with(func(r *oippb.ModelInferRequest) {
			r.RawInputContents, r.Inputs[0].Datatype, r.Inputs[0].Contents = nil, datatype, c
		})
	}
	for _, c := range []struct {
		what   string
		in     *oippb.ModelInferRequest
		status codes.Code
		code   protocol.Code
		says   string
	}{
		{"unknown model", with(func(r *oippb.ModelInferRequest) { r.ModelName = "nobody" }), codes.NotFound, protocol.UnknownModel, "nobody"},
		{"a name that is none", with(func(r *oippb.ModelInferRequest) { r.ModelName = "ResNet/50" }), codes.NotFound, protocol.UnknownModel, "a-z"},
		{"no name", with(func(r *oippb.ModelInferRequest) { r.ModelName = "" }), codes.NotFound, protocol.UnknownModel, ""},
		{"another version", with(func(r *oippb.ModelInferRequest) { r.ModelVersion = "7" }), codes.NotFound, protocol.UnknownModel, "version 1"},
		{"wrong name", with(func(r *oippb.ModelInferRequest) { r.Inputs[0].Name = "z" }), codes.InvalidArgument, protocol.InvalidInput, `"x"`},
		{"wrong shape", with(func(r *oippb.ModelInferRequest) { r.Inputs[0].Shape = []int64{1, 3} }), codes.InvalidArgument, protocol.InvalidInput, "shape"},
		{"a negative shape", with(func(r *oippb.ModelInferRequest) { r.Inputs[0].Shape = []int64{-1, 2} }), codes.InvalidArgument, protocol.InvalidInput, "shape"},
		{"a huge shape", with(func(r *oippb.ModelInferRequest) { r.Inputs[0].Shape = []int64{math.MaxInt64, 2} }), codes.InvalidArgument, protocol.BatchTooLarge, ""},
		{"wrong type", with(func(r *oippb.ModelInferRequest) { r.Inputs[0].Datatype = "INT8" }), codes.InvalidArgument, protocol.InvalidInput, "INT8"},
		{"a byte too few", with(func(r *oippb.ModelInferRequest) { r.RawInputContents[0] = raw[:7] }), codes.InvalidArgument, protocol.InvalidInput, "7 bytes"},
		{"raw of two", with(func(r *oippb.ModelInferRequest) { r.RawInputContents = [][]byte{raw, raw} }), codes.InvalidArgument, protocol.InvalidInput, "2 elements for 1 inputs"},
		{"raw and typed", with(func(r *oippb.ModelInferRequest) {
			r.Inputs[0].Contents = &oippb.InferTensorContents{Fp32Contents: []float32{1, 2}}
		}), codes.InvalidArgument, protocol.InvalidInput, "beside"},
		{"neither", with(func(r *oippb.ModelInferRequest) { r.RawInputContents = nil }), codes.InvalidArgument, protocol.InvalidInput, "0 bytes"},
		{"typed in another field", typed("FP32", &oippb.InferTensorContents{Fp64Contents: []float64{1, 2}}), codes.InvalidArgument, protocol.InvalidInput, "fp32_contents"},
		{"typed, one too few", typed("FP32", &oippb.InferTensorContents{Fp32Contents: []float32{1}}), codes.InvalidArgument, protocol.InvalidInput, "4 bytes"},
		{"typed, too large", typed("UINT8", &oippb.InferTensorContents{UintContents: []uint32{256, 1}}), codes.InvalidArgument, protocol.InvalidInput, "256 is no UINT8"},
		{"typed, too small", typed("INT8", &oippb.InferTensorContents{IntContents: []int32{-129, 1}}), codes.InvalidArgument, protocol.InvalidInput, "-129 is no INT8"},
		{"typed FP16", typed("FP16", &oippb.InferTensorContents{}), codes.InvalidArgument, protocol.InvalidInput, "raw_input_contents"},
		{"output that is none", with(func(r *oippb.ModelInferRequest) {
			r.Outputs = []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "q"}}
		}), codes.InvalidArgument, protocol.InvalidInput, `"q"`},
		{"classification", with(func(r *oippb.ModelInferRequest) {
			r.Outputs = []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "y", Parameters: map[string]*oippb.InferParameter{"classification": number(3)}}}
		}), codes.InvalidArgument, protocol.InvalidInput, "classification"},
		{"shared memory", with(func(r *oippb.ModelInferRequest) {
			r.Inputs[0].Parameters = map[string]*oippb.InferParameter{"shared_memory_region": text("r")}
		}), codes.InvalidArgument, protocol.InvalidInput, "shared_memory_region"},
		{"a sequence", parameter("sequence_id", number(5)), codes.InvalidArgument, protocol.InvalidInput, "sequences"},
		{"no time", parameter("timeout", number(-5)), codes.InvalidArgument, protocol.InvalidDeadline, ""},
		{"a text for a time", parameter("slo_ms", text("soon")), codes.InvalidArgument, protocol.BadMessage, "slo_ms"},
		{"another case", parameter("SLO_MS", number(5)), codes.InvalidArgument, protocol.BadMessage, `"slo_ms"`},
		{"a long id", with(func(r *oippb.ModelInferRequest) { r.Id = strings.Repeat("x", 65) }), codes.InvalidArgument, protocol.BadMessage, "65 bytes"},
		{"too many elements", with(func(r *oippb.ModelInferRequest) { r.Inputs[0].Shape = make([]int64, 70_000) }), codes.InvalidArgument, protocol.BadMessage, "elements"},
		{"too many items", &oippb.ModelInferRequest{ModelName: "big", Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Name: "x", Datatype: "UINT8", Shape: []int64{5, 100_000}}},
			RawInputContents: [][]byte{make([]byte, 500_000)}}, codes.InvalidArgument, protocol.BatchTooLarge, "at most 4"},
	} {
		var trailer metadata.MD
		_, err := s.inferOver(t.Context(), c.in, grpc.Trailer(&trailer))
		said := status.Convert(err)
		if said.Code() != c.status || len(trailer["clockwork-code"]) != 1 || trailer["clockwork-code"][0] != string(c.code) ||
			!strings.HasPrefix(said.Message(), string(c.code)+": ") || !strings.Contains(said.Message(), c.says) || len(said.Message()) > 2000 {
			t.Errorf("%s: %v %v, want %v %s with %q", c.what, err, trailer, c.status, c.code, c.says)
		}
	}
	large := with(func(r *oippb.ModelInferRequest) { r.RawInputContents[0] = make([]byte, 10<<20) })
	if _, err := s.inferOver(t.Context(), large); status.Code(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), fmt.Sprint(s.config.GRPC.MaxMessage)) {
		t.Errorf("too large: %v", err)
	}
	bomb := with(func(r *oippb.ModelInferRequest) { r.RawInputContents[0] = make([]byte, 100<<20) })
	if _, err := s.inferOver(t.Context(), bomb, grpc.UseCompressor(gzip.Name), grpc.MaxCallSendMsgSize(1<<30)); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("a gzip bomb: %v", err)
	}
	if _, err := s.inferOver(t.Context(), rawInfer("")); err != nil {
		t.Errorf("then: %v", err)
	}
}

// TestASchedulersRefusalOverGRPC: its numbers are in trailers and in the text.
func TestASchedulersRefusalOverGRPC(t *testing.T) {
	s := serving(t, nil)
	s.silent.Store(true)
	s.on(s.bus.Subjects.Submissions(), s.refuseAll)
	var trailer metadata.MD
	_, err := s.inferOver(t.Context(), rawInfer(""), grpc.Trailer(&trailer))
	if status.Code(err) != codes.DeadlineExceeded || !strings.Contains(err.Error(), "earliest_ms 12.5") || !strings.Contains(err.Error(), "budget_ms 10") ||
		len(trailer["clockwork-earliest-ms"]) != 1 || trailer["clockwork-earliest-ms"][0] != "12.5" || trailer["clockwork-budget-ms"][0] != "10" {
		t.Errorf("%v %v", err, trailer)
	}
}

// TestTheSmallestBudgetOverGRPC counts, whatever names it.
func TestTheSmallestBudgetOverGRPC(t *testing.T) {
	s := serving(t, nil)
	s.silent.Store(true)
	budgets := func(p map[string]*oippb.InferParameter) *oippb.ModelInferRequest {
		r := rawInfer("")
		r.Parameters = p
		return r
	}
	long, short := number(20_000), number(5)
	header := metadata.AppendToOutgoingContext(t.Context(), "clockwork-timeout", "5ms")
	for name, c := range map[string]struct {
		ctx context.Context
		in  *oippb.ModelInferRequest
	}{
		"timeout":  {t.Context(), budgets(map[string]*oippb.InferParameter{"slo_ms": long, "timeout": number(5000)})},
		"slo_ms":   {t.Context(), budgets(map[string]*oippb.InferParameter{"slo_ms": short, "timeout": number(20_000_000)})},
		"metadata": {header, budgets(map[string]*oippb.InferParameter{"slo_ms": long})},
	} {
		var trailer metadata.MD
		_, err := s.inferOver(c.ctx, c.in, grpc.Trailer(&trailer))
		if status.Code(err) != codes.DeadlineExceeded || len(trailer["clockwork-budget-ms"]) != 1 || trailer["clockwork-budget-ms"][0] != "5" {
			t.Errorf("%s: %v %v", name, err, trailer)
		}
	}
	outcomes := make(chan protocol.Code, 10)
	s.heard(outcomes)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := s.inferOver(ctx, budgets(map[string]*oippb.InferParameter{"slo_ms": long})); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("the deadline of gRPC: %v", err)
	}
	if code := bustest.Next(t, "the end of the request", outcomes); code != protocol.DeadlineExceeded {
		t.Errorf("the deadline of gRPC: it ended with %s", code)
	}
}

// TestAClientOfGRPCGoesAway: what no worker was given is cancelled, and counted.
func TestAClientOfGRPCGoesAway(t *testing.T) {
	s := serving(t, nil)
	s.silent.Store(true)
	outcomes := make(chan protocol.Code, 10)
	s.heard(outcomes)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := s.inferOver(ctx, rawInfer(""))
		ended <- err
	}()
	bustest.Until(t, "it is submitted", func() bool { return s.submitted.Load() == 1 })
	cancel()
	if code := bustest.Next(t, "the end of the request", outcomes); code != protocol.Cancelled {
		t.Errorf("it ended with %s", code)
	}
	if err := bustest.Next(t, "its status", ended); status.Code(err) != codes.Canceled {
		t.Errorf("%v", err)
	}
}

var streamInfer = grpc.StreamDesc{ClientStreams: true, ServerStreams: true}

func (s *stack) stream(ctx context.Context) grpc.ClientStream {
	s.t.Helper()
	stream, err := s.grpc.NewStream(ctx, &streamInfer, inference+"ModelStreamInfer")
	if err != nil {
		s.t.Fatal(err)
	}
	return stream
}

// TestAStreamOfRequests: each is answered as it ends, by its id; a refused one ends nothing.
func TestAStreamOfRequests(t *testing.T) {
	s := serving(t, func(c *Config) { c.GRPC.StreamInFlight = 8 })
	stream := s.stream(t.Context())
	ids := map[string]bool{}
	for i := range 100 {
		r := rawInfer(string(rune('a'+i%26)) + string(rune('a'+i/26)))
		ids[r.Id] = true
		if i%10 == 3 {
			r.Inputs[0].Name = "wrong"
		}
		if err := stream.SendMsg(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	refused := 0
	for {
		var out oippb.ModelStreamInferResponse
		err := stream.RecvMsg(&out)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		id := out.GetInferResponse().GetId()
		if !ids[id] {
			t.Errorf("answer to %q", id)
		}
		delete(ids, id)
		if out.ErrorMessage != "" {
			refused++
			if out.InferResponse.Parameters["code"].GetStringParam() != string(protocol.InvalidInput) {
				t.Errorf("%v", &out)
			}
		} else if !bytes.Equal(out.InferResponse.RawOutputContents[0], raw) {
			t.Errorf("%v", &out)
		}
	}
	if len(ids) != 0 || refused != 10 {
		t.Errorf("%d without an answer, %d refused", len(ids), refused)
	}
}

// TestAStreamIsBounded: with as many requests in flight as may be, no more are taken; and who
// goes away cancels all of them.
func TestAStreamIsBounded(t *testing.T) {
	s := serving(t, func(c *Config) { c.GRPC.StreamInFlight = 3 })
	s.silent.Store(true)
	outcomes := make(chan protocol.Code, 10)
	s.heard(outcomes)
	ctx, cancel := context.WithCancel(t.Context())
	stream := s.stream(ctx)
	for range 10 {
		if err := stream.SendMsg(rawInfer("")); err != nil {
			t.Fatal(err)
		}
	}
	bustest.Until(t, "three are submitted", func() bool { return s.submitted.Load() == 3 })
	cancel()
	for range 3 {
		if code := bustest.Next(t, "the end of a request", outcomes); code != protocol.Cancelled {
			t.Errorf("it ended with %s", code)
		}
	}
	if n := s.submitted.Load(); n != 3 {
		t.Errorf("%d were submitted", n)
	}
}

func TestHealthAsKubernetesAsks(t *testing.T) {
	s := newStack(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Wait)
	defer cancel()
	client := health.NewHealthClient(s.grpc)
	watch, err := client.Watch(ctx, &health.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if first, err := watch.Recv(); err != nil || first.Status != health.HealthCheckResponse_NOT_SERVING {
		t.Errorf("before activation: %v, %v", first, err)
	}
	if now, err := client.Check(ctx, &health.HealthCheckRequest{}); err != nil || now.Status != health.HealthCheckResponse_NOT_SERVING {
		t.Errorf("before activation: %v, %v", now, err)
	}
	s.activate()
	if next, err := watch.Recv(); err != nil || next.Status != health.HealthCheckResponse_SERVING {
		t.Errorf("then: %v, %v", next, err)
	}
	for _, service := range []string{"", "inference.GRPCInferenceService", "a"} {
		if now, err := client.Check(ctx, &health.HealthCheckRequest{Service: service}); err != nil || now.Status != health.HealthCheckResponse_SERVING {
			t.Errorf("%q: %v, %v", service, now, err)
		}
	}
	if _, err := client.Check(ctx, &health.HealthCheckRequest{Service: "nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("nobody: %v", err)
	}
}

func TestReflectionNamesTheServices(t *testing.T) {
	s := serving(t, nil)
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Wait)
	defer cancel()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(s.grpc).ServerReflectionInfo(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *grpc_reflection_v1.ServerReflectionRequest) *grpc_reflection_v1.ServerReflectionResponse {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		got, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	list := ask(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{}}).String()
	symbol := ask(&grpc_reflection_v1.ServerReflectionRequest{MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "inference.GRPCInferenceService"}})
	if !strings.Contains(list, "inference.GRPCInferenceService") || !strings.Contains(list, "grpc.health.v1.Health") || len(symbol.GetFileDescriptorResponse().GetFileDescriptorProto()) == 0 {
		t.Errorf("%s\n%s", list, symbol)
	}
}

// TestBeforeActivationOverGRPC requests are refused, and not as UNAVAILABLE, which clients
// send again at once.
func TestBeforeActivationOverGRPC(t *testing.T) {
	s := newStack(t, nil)
	bustest.Until(t, "the front door is open", func() bool { return s.infer("a", []byte(jsonInfer)).field("code") == string(protocol.NotActive) })
	if _, err := s.inferOver(t.Context(), rawInfer("")); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("%v", err)
	}
}

// TestAStoppingGatewayOverGRPC answers what it has, and says of the rest that it stops.
func TestAStoppingGatewayOverGRPC(t *testing.T) {
	s := serving(t, nil)
	s.config.Telemetry.Stopping()
	var ready oippb.ServerReadyResponse
	if err := s.call("ServerReady", &oippb.ServerReadyRequest{}, &ready); err != nil || ready.Ready {
		t.Errorf("%v, %v", &ready, err)
	}
	if _, err := s.inferOver(t.Context(), rawInfer("")); err != nil {
		t.Errorf("while it drains: %v", err)
	}
	s.silent.Store(true)
	before := s.submitted.Load()
	ended := make(chan error, 1)
	go func() {
		_, err := s.inferOver(t.Context(), rawInfer(""))
		ended <- err
	}()
	stream := s.stream(t.Context())
	if err := stream.SendMsg(rawInfer("r2")); err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "requests are in flight", func() bool { return s.submitted.Load() == before+2 })
	s.stop()
	if err := bustest.Next(t, "the answer", ended); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), string(protocol.ShuttingDown)) {
		t.Errorf("%v", err)
	}
	var out oippb.ModelStreamInferResponse
	if err := stream.RecvMsg(&out); err != nil || !strings.Contains(out.ErrorMessage, string(protocol.ShuttingDown)) || out.InferResponse.Id != "r2" {
		t.Errorf("in a stream: %v, %v", &out, err)
	}
	if err := stream.RecvMsg(&out); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream's end: %v", err)
	}
}
