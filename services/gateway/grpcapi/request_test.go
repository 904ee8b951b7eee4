package grpcapi

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/grpcapi/oippb"
)

// inPieces are the buffers in which a message may come.
func inPieces(body []byte, sizes ...int) (list mem.BufferSlice) {
	for _, n := range sizes {
		n = min(n, len(body))
		list, body = append(list, mem.SliceBuffer(body[:n])), body[n:]
	}
	return append(list, mem.SliceBuffer(body))
}

func decoded(body []byte, sizes ...int) request {
	var r request
	r.decode(inPieces(body, sizes...))
	return r
}

// example has all that a request may have.
func example() *oippb.ModelInferRequest {
	return &oippb.ModelInferRequest{
		ModelName: "m", ModelVersion: "2", Id: "r1",
		Parameters: map[string]*oippb.InferParameter{
			"slo_ms":   {ParameterChoice: &oippb.InferParameter_DoubleParam{DoubleParam: 75.5}},
			"timeout":  {ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: 80_000}},
			"priority": {ParameterChoice: &oippb.InferParameter_Uint64Param{Uint64Param: 1}},
			"other":    {ParameterChoice: &oippb.InferParameter_BoolParam{BoolParam: true}},
		},
		Inputs: []*oippb.ModelInferRequest_InferInputTensor{
			{Name: "x", Datatype: "FP32", Shape: []int64{1, 2}}, {Name: "n", Datatype: "UINT8", Shape: []int64{1}},
		},
		Outputs:          []*oippb.ModelInferRequest_InferRequestedOutputTensor{{Name: "y"}, {Name: "z"}},
		RawInputContents: [][]byte{{1, 2, 3, 4, 5, 6, 7, 8}, {9}},
	}
}

func encoded(t testing.TB, m proto.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestARequestInPieces is read alike, however the connection cut it.
func TestARequestInPieces(t *testing.T) {
	body := encoded(t, example())
	for cut := range len(body) {
		r := decoded(body, cut, 1, 3)
		if r.fault != nil || r.model != "m" || r.version != "2" || r.ID != "r1" || *r.Parameters.SLOMS != 75.5 || r.Parameters.Priority != 1 ||
			len(r.Inputs) != 2 || r.Inputs[1].Name != "n" || r.Inputs[0].Datatype != protocol.FP32 || !bytes.Equal(r.Inputs[0].Data, []byte{1, 2, 3, 4, 5, 6, 7, 8}) ||
			!bytes.Equal(r.Inputs[1].Data, []byte{9}) || strings.Join(r.Outputs, ",") != "y,z" || r.bytes != len(body) {
			t.Fatalf("cut at %d: %+v", cut, r)
		}
	}
}

// TestTypedContents of each datatype are what the same numbers are as raw data.
func TestTypedContents(t *testing.T) {
	for datatype, c := range map[protocol.DataType]struct {
		contents *oippb.InferTensorContents
		want     []byte
	}{
		protocol.Bool:   {&oippb.InferTensorContents{BoolContents: []bool{true, false}}, []byte{1, 0}},
		protocol.Int8:   {&oippb.InferTensorContents{IntContents: []int32{-128, 127}}, []byte{0x80, 0x7f}},
		protocol.Int16:  {&oippb.InferTensorContents{IntContents: []int32{-2, 258}}, []byte{0xfe, 0xff, 2, 1}},
		protocol.Int32:  {&oippb.InferTensorContents{IntContents: []int32{-2}}, []byte{0xfe, 0xff, 0xff, 0xff}},
		protocol.Int64:  {&oippb.InferTensorContents{Int64Contents: []int64{-2}}, []byte{0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
		protocol.Uint8:  {&oippb.InferTensorContents{UintContents: []uint32{255, 0}}, []byte{255, 0}},
		protocol.Uint16: {&oippb.InferTensorContents{UintContents: []uint32{258}}, []byte{2, 1}},
		protocol.Uint32: {&oippb.InferTensorContents{UintContents: []uint32{1 << 31}}, []byte{0, 0, 0, 0x80}},
		protocol.Uint64: {&oippb.InferTensorContents{Uint64Contents: []uint64{1 << 63}}, []byte{0, 0, 0, 0, 0, 0, 0, 0x80}},
		protocol.FP32:   {&oippb.InferTensorContents{Fp32Contents: []float32{1}}, []byte{0, 0, 0x80, 0x3f}},
		protocol.FP64:   {&oippb.InferTensorContents{Fp64Contents: []float64{1}}, []byte{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}},
	} {
		r := decoded(encoded(t, &oippb.ModelInferRequest{Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Datatype: string(datatype), Contents: c.contents}}}))
		if r.fault != nil || !bytes.Equal(r.Inputs[0].Data, c.want) {
			t.Errorf("%s: % x, %v", datatype, r.Inputs[0].Data, r.fault)
		}
	}
}

// TestAnAnswerIsRead by the generated code as what it is, whatever of it is copied.
func TestAnAnswerIsRead(t *testing.T) {
	large := bytes.Repeat([]byte{1, 2, 3, 4}, 5000)
	r := protocol.InferResponse{
		ModelName: "m", ID: "r1", Parameters: protocol.ResponseParameters{LatencyUS: 5, BatchSize: 2, Worker: "w1", ColdStart: true, BufferedMS: 0.5, ExecUS: 3},
		Outputs: []protocol.Tensor{{Name: "y", Datatype: protocol.FP32, Shape: []int64{1, 5000}, Data: large}, {Name: "n", Datatype: protocol.Uint8, Shape: []int64{2}, Data: []byte{7, 8}}, {Name: "z", Shape: []int64{0}}},
	}
	c, l := &conn{}, &listener{}
	c.of = l
	for _, inStream := range []bool{false, true} {
		a := newAnswer(appendHead(nil, &r), r.Outputs, c, inStream)
		body := a.parts.Materialize()
		var got oippb.ModelInferResponse
		if inStream {
			var one oippb.ModelStreamInferResponse
			if err := proto.Unmarshal(body, &one); err != nil {
				t.Fatal(err)
			}
			body = encoded(t, one.InferResponse)
		}
		if err := proto.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		p := got.Parameters
		if got.ModelName != "m" || got.ModelVersion != "1" || got.Id != "r1" || len(got.Outputs) != 3 || got.Outputs[0].Shape[1] != 5000 || got.Outputs[1].Datatype != "UINT8" ||
			!bytes.Equal(got.RawOutputContents[0], large) || !bytes.Equal(got.RawOutputContents[1], []byte{7, 8}) || len(got.RawOutputContents) != 3 ||
			p["latency_us"].GetInt64Param() != 5 || p["worker"].GetStringParam() != "w1" || !p["cold_start"].GetBoolParam() || p["buffered_ms"].GetDoubleParam() != 0.5 || p["exec_us"].GetInt64Param() != 3 {
			t.Errorf("%v", &got)
		}
		if c.unread < int64(len(large)) || l.unread.Load() != c.unread {
			t.Errorf("%d bytes are not read, of all %d", c.unread, l.unread.Load())
		}
		a.parts.Free()
		if c.unread != 0 || l.unread.Load() != 0 {
			t.Errorf("when all is read: %d, %d", c.unread, l.unread.Load())
		}
	}
}

// FuzzRequest: what the generated code reads, ours reads as the same, or refuses it; and
// nothing takes memory out of proportion.
func FuzzRequest(f *testing.F) {
	f.Add(encoded(f, example()), 7)
	f.Add(encoded(f, &oippb.ModelInferRequest{Inputs: []*oippb.ModelInferRequest_InferInputTensor{{Datatype: "INT16", Contents: &oippb.InferTensorContents{IntContents: []int32{-2, 5}}}}}), 3)
	f.Add([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f}, 0)
	f.Fuzz(func(t *testing.T, body []byte, cut int) {
		r := decoded(body, max(0, cut))
		bytes := 0
		for _, in := range r.Inputs {
			bytes += len(in.Data)
		}
		if bytes > 8*len(body) {
			t.Fatalf("%d bytes out of %d", bytes, len(body))
		}
		var twin oippb.ModelInferRequest
		err := proto.Unmarshal(body, &twin)
		if r.fault != nil {
			if r.fault.Code != protocol.BadMessage && r.fault.Code != protocol.InvalidInput {
				t.Fatalf("%v", r.fault)
			}
			return
		}
		if err != nil {
			return // a text that is no UTF-8 in what is not echoed
		}
		if r.model != twin.ModelName || r.version != twin.ModelVersion || r.ID != twin.Id || len(r.Inputs) != len(twin.Inputs) || len(r.Outputs) != len(twin.Outputs) || len(r.raw) != len(twin.RawInputContents) {
			t.Fatalf("%+v\n%v", r, &twin)
		}
		for i, in := range r.Inputs {
			if in.Name != twin.Inputs[i].Name || string(in.Datatype) != twin.Inputs[i].Datatype || len(in.Shape) != len(twin.Inputs[i].Shape) {
				t.Fatalf("%+v\n%v", in, twin.Inputs[i])
			}
		}
	})
}

// TestRandomRequestsAreReadAsTheyAreMeant: with each byte changed, cut off or put in, the
// reader ends, and what it takes is what the generated code reads.
func TestRandomRequestsAreReadAsTheyAreMeant(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	body := encoded(t, example())
	refused := 0
	for range 20_000 {
		damaged := bytes.Clone(body)
		damaged[rng.IntN(len(damaged))] ^= byte(1 << rng.IntN(8))
		damaged = damaged[:len(damaged)-rng.IntN(2)*rng.IntN(len(damaged))]
		r := decoded(damaged, rng.IntN(50))
		var twin oippb.ModelInferRequest
		err := proto.Unmarshal(damaged, &twin)
		if r.fault != nil {
			refused++
			continue
		}
		if err == nil && (r.model != twin.ModelName || len(r.raw) != len(twin.RawInputContents) || len(r.Inputs) != len(twin.Inputs)) {
			t.Fatalf("%x: %+v\n%v", damaged, r, &twin)
		}
	}
	if refused == 0 || refused == 20_000 {
		t.Errorf("%d refused", refused)
	}
}

// TestTheGeneratedMessagesAreCurrent with their description.
func TestTheGeneratedMessagesAreCurrent(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		t.Skip("needs protoc (Debian: protobuf-compiler)")
	}
	dir, top := t.TempDir(), filepath.Join("..", "..", "..")
	plugin := filepath.Join(dir, "protoc-gen-go")
	for _, command := range []*exec.Cmd{
		exec.Command("go", "build", "-o", plugin, "google.golang.org/protobuf/cmd/protoc-gen-go"),
		exec.Command(protoc, "--plugin="+plugin, "--go_out="+dir, "--go_opt=paths=source_relative", file),
	} {
		command.Dir = top
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	kept := filepath.Join("oippb", "inference.pb.go")
	if !bytes.Equal(generated(t, kept), generated(t, filepath.Join(dir, filepath.Dir(file), "inference.pb.go"))) {
		t.Errorf("%s is not what %s makes: run make proto", kept, file)
	}
}

// generated is a generated file without the line that names protoc's version.
func generated(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(text, []byte("// \tprotoc  "))
	if at < 0 {
		t.Fatalf("%s does not name protoc", path)
	}
	return append(text[:at:at], text[at+bytes.IndexByte(text[at:], '\n'):]...)
}
