package wire

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
)

// EncodeBody encodes a struct with json tags in the given encoding.
func EncodeBody(encoding protocol.Encoding, v any) []byte {
	if encoding == protocol.JSON {
		body, err := json.Marshal(v)
		if err != nil { // our own types can always be encoded
			panic(fmt.Sprintf("encode %T: %v", v, err))
		}
		return body
	}
	w := bodyWriters.Get().(*bodyWriter)
	defer bodyWriters.Put(w)
	w.out.Reset()
	if err := w.enc.Encode(v); err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	return bytes.Clone(w.out.Bytes())
}

// bodyWriter encodes structs with json tags as msgpack; it is pooled, since a new
// encoder for each reply would cost more than the encoding.
type bodyWriter struct {
	out bytes.Buffer
	enc *msgpack.Encoder
}

var bodyWriters = sync.Pool{New: func() any {
	w := &bodyWriter{}
	w.enc = msgpack.NewEncoder(&w.out)
	w.enc.SetCustomStructTag("json")
	w.enc.UseCompactInts(true)
	return w
}}

type responseJSON struct {
	responseHead
	Outputs []tensorJSON `json:"outputs"`
}

// responseHead is a JSON reply without its outputs.
type responseHead struct {
	ModelName  string                      `json:"model_name"`
	Version    string                      `json:"model_version,omitempty"`
	ID         string                      `json:"id,omitempty"`
	Parameters protocol.ResponseParameters `json:"parameters"`
}

// EncodeResponse writes the reply to a served request.
func EncodeResponse(encoding protocol.Encoding, r *protocol.InferResponse) []byte {
	return AppendResponse(nil, encoding, r)
}

// AppendResponse appends the reply to dst, which may be nil.
func AppendResponse(dst []byte, encoding protocol.Encoding, r *protocol.InferResponse) []byte {
	if encoding == protocol.JSON {
		return AppendResponseJSON(dst, r, OutputsJSON(r.Outputs))
	}
	dst = packMap(dst, 3+present(r.ID != "")+present(r.ModelVersion != ""))
	dst = packText(packText(dst, "model_name"), r.ModelName)
	if r.ModelVersion != "" {
		dst = packText(packText(dst, "model_version"), r.ModelVersion)
	}
	if r.ID != "" {
		dst = packText(packText(dst, "id"), r.ID)
	}
	dst = packResponseParameters(packText(dst, "parameters"), &r.Parameters)
	return packTensors(packText(dst, "outputs"), r.Outputs)
}

// OutputsJSON writes the tensors of a JSON reply. Numbers take long, some 100 ns each, and
// what else stands in a reply may depend on how long.
func OutputsJSON(outputs []protocol.Tensor) []byte {
	dst := []byte{'['}
	for i, t := range outputs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendMember(dst, EncodeBody(protocol.JSON, tensorHead{t.Name, t.Shape, t.Datatype}), "data", numbersToJSON(t.Datatype, t.Data))
	}
	return append(dst, ']')
}

// AppendResponseJSON is AppendResponse in JSON, of outputs as OutputsJSON wrote them.
func AppendResponseJSON(dst []byte, r *protocol.InferResponse, outputs []byte) []byte {
	return appendMember(dst, EncodeBody(protocol.JSON, responseHead{r.ModelName, r.ModelVersion, r.ID, r.Parameters}), "outputs", outputs)
}

// appendMember appends an object that has members already, with one more behind them.
func appendMember(dst, object []byte, key string, value []byte) []byte {
	dst = append(dst, object[:len(object)-1]...)
	dst = append(dst, `,"`...)
	dst = append(dst, key...)
	dst = append(dst, `":`...)
	dst = append(dst, value...)
	return append(dst, '}')
}

// packResponseParameters writes the same keys as encoding/json does.
func packResponseParameters(dst []byte, p *protocol.ResponseParameters) []byte {
	dst = packMap(dst, 9+present(p.Worker != ""))
	dst = packInt(packText(dst, "latency_us"), p.LatencyUS)
	dst = packInt(packText(dst, "batch_size"), int64(p.BatchSize))
	if p.Worker != "" {
		dst = packText(packText(dst, "worker"), p.Worker)
	}
	dst = packFlag(packText(dst, "cold_start"), p.ColdStart)
	dst = packFloat(packText(dst, "buffered_ms"), p.BufferedMS)
	dst = packInt(packText(dst, "scheduler_us"), p.SchedulerUS)
	dst = packInt(packText(dst, "queue_us"), p.QueueUS)
	dst = packInt(packText(dst, "input_us"), p.InputUS)
	dst = packInt(packText(dst, "exec_us"), p.ExecUS)
	return packInt(packText(dst, "output_us"), p.OutputUS)
}

func packTensors(dst []byte, tensors []protocol.Tensor) []byte {
	dst = packArray(dst, len(tensors))
	for i := range tensors {
		t := &tensors[i]
		dst = packText(packText(packMap(dst, 4), "name"), t.Name)
		dst = packArray(packText(dst, "shape"), len(t.Shape))
		for _, d := range t.Shape {
			dst = packInt(dst, d)
		}
		dst = packText(packText(dst, "datatype"), string(t.Datatype))
		dst = packBin(packText(dst, "data"), t.Data)
	}
	return dst
}

// present returns 1 for a key that is written, 0 for an empty one that is left out.
func present(there bool) int {
	if there {
		return 1
	}
	return 0
}

// responseMsgpack is the struct into which a reply is decoded; unknown keys are ignored,
// so that newer stacks may add some.
type responseMsgpack struct {
	ModelName  string                      `json:"model_name"`
	Version    string                      `json:"model_version,omitempty"`
	ID         string                      `json:"id,omitempty"`
	Parameters protocol.ResponseParameters `json:"parameters"`
	Outputs    []tensorMsgpack             `json:"outputs"`
}

type tensorMsgpack struct {
	Name     string            `json:"name"`
	Shape    []int64           `json:"shape"`
	Datatype protocol.DataType `json:"datatype"`
	Data     []byte            `json:"data"`
}

// DecodeResponse decodes a reply to an inference request: the response, or the stack's
// error. If body is neither, the error is BAD_MESSAGE.
func DecodeResponse(body []byte) (*protocol.InferResponse, *protocol.Error) {
	if fault := DecodeError(body); fault != nil {
		return nil, fault
	}
	r := &protocol.InferResponse{}
	if EncodingOf(body) == protocol.JSON {
		var in responseJSON
		if fault := decodeObject(body, &in, clientBounds); fault != nil {
			return nil, fault
		}
		r.ModelName, r.ModelVersion, r.ID, r.Parameters = in.ModelName, in.Version, in.ID, in.Parameters
		for _, t := range in.Outputs {
			data, err := nestedFromJSON(t.Datatype, t.Shape, t.Data)
			if err != nil {
				return nil, protocol.Errorf(protocol.BadMessage, "output %q: %v", t.Name, err)
			}
			r.Outputs = append(r.Outputs, protocol.Tensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape, Data: data})
		}
		return r, nil
	}
	var in responseMsgpack
	if fault := DecodeBody(body, &in); fault != nil {
		return nil, fault
	}
	r.ModelName, r.ModelVersion, r.ID, r.Parameters = in.ModelName, in.Version, in.ID, in.Parameters
	for _, t := range in.Outputs {
		r.Outputs = append(r.Outputs, protocol.Tensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape, Data: t.Data})
	}
	return r, nil
}

// EncodeInfer encodes an inference request in msgpack, tensors as raw bytes.
func EncodeInfer(r *protocol.InferRequest) []byte {
	size := 256
	for i := range r.Inputs {
		size += 256 + len(r.Inputs[i].Data)
	}
	p := &r.Parameters
	dst := packMap(make([]byte, 0, size), 2+present(r.ID != "")+present(len(r.Outputs) > 0))
	if r.ID != "" {
		dst = packText(packText(dst, "id"), r.ID)
	}
	dst = packMap(packText(dst, "parameters"), present(p.SLOMS != nil)+present(p.Priority != 0))
	if p.SLOMS != nil {
		dst = packFloat(packText(dst, "slo_ms"), *p.SLOMS)
	}
	if p.Priority != 0 {
		dst = packInt(packText(dst, "priority"), int64(p.Priority))
	}
	if len(r.Outputs) > 0 {
		dst = packArray(packText(dst, "outputs"), len(r.Outputs))
		for _, name := range r.Outputs {
			dst = packText(packText(packMap(dst, 1), "name"), name)
		}
	}
	return packTensors(packText(dst, "inputs"), r.Inputs)
}

type errorBody struct {
	Error *protocol.Error `json:"error"`
}

// brief returns an error that fits into a message: it may quote the client's own text, of
// any length, and name thousands of workers.
func brief(refusal *protocol.Error) *protocol.Error {
	short := *refusal
	short.Message = protocol.ShortText(refusal.Message, protocol.MaxText)
	var more int
	if short.Workers, more = protocol.ShortErrors(refusal.Workers); more > 0 {
		short.Message += fmt.Sprintf(" (and %d workers more than named here)", more)
	}
	return &short
}

// EncodeError returns the body of an error reply, and the error as encoded there: what is
// long is cut.
func EncodeError(encoding protocol.Encoding, refusal *protocol.Error) ([]byte, *protocol.Error) {
	refusal = brief(refusal)
	return EncodeBody(encoding, errorBody{refusal}), refusal
}

// DecodeError returns the error in a reply, nil if there is none; of a reply that cannot be
// read, BAD_MESSAGE.
func DecodeError(body []byte) *protocol.Error {
	refusal, fault := ReadError(body)
	return cmp.Or(refusal, fault)
}

// ReadError returns the error in a reply, or why that cannot be read; neither if the reply
// is no error.
func ReadError(body []byte) (refusal, fault *protocol.Error) {
	var in errorBody
	if !beginsAsError(body) {
		return nil, nil
	}
	if EncodingOf(body) == protocol.JSON {
		fault = decodeObject(body, &in, clientBounds)
	} else {
		fault = DecodeBody(body, &in)
	}
	if fault == nil && in.Error != nil && !isFailure(in.Error.Code) {
		fault = protocol.Errorf(protocol.BadMessage, "it is an error without a code")
	}
	if fault != nil {
		return nil, fault
	}
	return in.Error, nil
}

// beginsAsError: an error is an object of the single key "error". No other reply begins like
// that.
func beginsAsError(body []byte) bool {
	if EncodingOf(body) == protocol.JSON {
		return bytes.Contains(body[:min(len(body), 16)], []byte(`"error"`))
	}
	return len(body) >= 7 && body[0] == 0x81 && string(body[2:7]) == "error"
}

// isFailure reports whether a code can be an error's. A newer stack may have codes that are
// not in our table.
func isFailure(code protocol.Code) bool {
	return code != protocol.OK && len(code) > 0 && len(code) <= protocol.MaxName &&
		strings.Trim(string(code), "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == ""
}
