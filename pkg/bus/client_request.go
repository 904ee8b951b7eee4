package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"clockwork/pkg/protocol"
)

// Encoding is how a client wrote its body, and how it is answered.
type Encoding uint8

// The encodings.
const (
	Msgpack Encoding = iota
	JSON
)

// EncodingOf tells a body's encoding by its first byte. An empty body counts
// as JSON: a person typed it.
func EncodingOf(body []byte) Encoding {
	if len(body) == 0 || body[0] == '{' {
		return JSON
	}
	return Msgpack
}

// DecodeInfer reads a client's inference request. Tensors sent as raw bytes
// alias body. The error is BAD_MESSAGE, or INVALID_INPUT for data that does
// not fit its own datatype.
func DecodeInfer(body []byte) (protocol.InferRequest, *protocol.Error) {
	if EncodingOf(body) == JSON {
		return decodeInferJSON(body)
	}
	if fault := scanWhole(body); fault != nil {
		return protocol.InferRequest{}, fault
	}
	w := newWalker(body)
	defer w.free()
	var r protocol.InferRequest
	w.object(func(key string) {
		switch key {
		case "id":
			r.ID = w.text()
		case "parameters":
			w.parameters(&r.Parameters)
		case "inputs":
			r.Inputs = nil // of two, the last counts
			w.each(func() { r.Inputs = append(r.Inputs, w.tensor()) })
		default:
			w.skip()
		}
	})
	if w.fault != nil {
		return protocol.InferRequest{}, w.fault
	}
	if w.err != nil {
		return protocol.InferRequest{}, protocol.Errorf(protocol.BadMessage, "decode request: %v", w.err)
	}
	return checkID(r)
}

// checkID bounds what is only told back.
func checkID(r protocol.InferRequest) (protocol.InferRequest, *protocol.Error) {
	if len(r.ID) > protocol.MaxName {
		fault := protocol.Errorf(protocol.BadMessage, "the id has %d bytes, at most %d are kept", len(r.ID), protocol.MaxName)
		fault.Got, fault.Limit = int64(len(r.ID)), protocol.MaxName
		return protocol.InferRequest{}, fault
	}
	return r, nil
}

// inferJSON leaves the inputs for a second look: where a key stands twice, the
// library would read the second array over the elements of the first.
type inferJSON struct {
	ID         string                   `json:"id"`
	Parameters protocol.InferParameters `json:"parameters"`
	Inputs     json.RawMessage          `json:"inputs"`
}

type tensorJSON struct {
	Name     string            `json:"name"`
	Shape    []int64           `json:"shape"`
	Datatype protocol.DataType `json:"datatype"`
	Data     json.RawMessage   `json:"data"`
}

func decodeInferJSON(body []byte) (protocol.InferRequest, *protocol.Error) {
	var in inferJSON
	if fault := DecodeJSON(body, &in); fault != nil {
		return protocol.InferRequest{}, fault
	}
	var inputs []tensorJSON
	if len(in.Inputs) > 0 {
		if err := json.Unmarshal(in.Inputs, &inputs); err != nil {
			return protocol.InferRequest{}, protocol.Errorf(protocol.BadMessage, "decode inputs: %v", err)
		}
	}
	r := protocol.InferRequest{ID: in.ID, Parameters: in.Parameters}
	for _, t := range inputs {
		data, err := numbersFromJSON(t.Datatype, t.Data)
		if err != nil {
			return protocol.InferRequest{}, protocol.Errorf(protocol.InvalidInput, "input %q: %v", t.Name, err)
		}
		r.Inputs = append(r.Inputs, protocol.Tensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape, Data: data})
	}
	return checkID(r)
}

// DecodeBody reads a client's control message, in either encoding, into a
// struct with json tags. An empty body leaves it as it is.
func DecodeBody(body []byte, into any) *protocol.Error {
	if len(body) == 0 {
		return nil
	}
	if EncodingOf(body) == JSON {
		return DecodeJSON(body, into)
	}
	if fault := scanWhole(body); fault != nil {
		return fault
	}
	dec := msgpack.NewDecoder(bytes.NewReader(body))
	dec.SetCustomStructTag("json")
	if err := dec.Decode(into); err != nil {
		return protocol.Errorf(protocol.BadMessage, "decode message: %v", err)
	}
	return nil
}

// DecodeJSON reads a JSON object that is nested at most maxDepth deep and holds
// at most maxClientElements objects and arrays. The numbers of an array are
// bounded by the message alone: a tensor has more of them.
func DecodeJSON(body []byte, into any) *protocol.Error {
	depth, containers := jsonShape(body)
	switch {
	case depth > maxDepth:
		return protocol.Errorf(protocol.BadMessage, "nested deeper than %d", maxDepth)
	case containers > maxClientElements:
		return protocol.Errorf(protocol.BadMessage, "more than %d objects and arrays", maxClientElements)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return protocol.Errorf(protocol.BadMessage, "decode JSON: %v", err)
	}
	return nil
}

// jsonShape returns the deepest nesting of brackets outside strings, and how
// many open.
func jsonShape(body []byte) (deepest, containers int) {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			containers++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest, containers
}

// walker reads a client's msgpack by hand where the library would copy: a
// tensor's raw bytes stay in the message. The body was pre-scanned.
type walker struct {
	body  []byte
	in    *bytes.Reader
	dec   *msgpack.Decoder
	err   error
	fault *protocol.Error // an error with a code of its own
}

var walkers = sync.Pool{New: func() any {
	w := &walker{in: bytes.NewReader(nil)}
	w.dec = msgpack.NewDecoder(w.in)
	return w
}}

func newWalker(body []byte) *walker {
	w := walkers.Get().(*walker)
	w.body, w.err, w.fault = body, nil, nil
	w.in.Reset(body)
	w.dec.Reset(w.in)
	return w
}

// free gives a walker back; the body stays with what was read from it.
func (w *walker) free() {
	w.body = nil
	w.in.Reset(nil)
	walkers.Put(w)
}

func (w *walker) done() bool { return w.err != nil || w.fault != nil }

func (w *walker) object(field func(key string)) {
	if w.done() {
		return
	}
	n, err := w.dec.DecodeMapLen()
	w.err = err
	for i := 0; i < n && !w.done(); i++ {
		key := w.text()
		if !w.done() {
			field(key)
		}
	}
}

func (w *walker) each(item func()) {
	if w.done() {
		return
	}
	n, err := w.dec.DecodeArrayLen()
	w.err = err
	for i := 0; i < n && !w.done(); i++ {
		item()
	}
}

func (w *walker) text() (s string) {
	if !w.done() {
		s, w.err = w.dec.DecodeString()
	}
	return s
}

func (w *walker) skip() {
	if !w.done() {
		w.err = w.dec.Skip()
	}
}

// skipData steps over a tensor's data without reading raw bytes: the library
// would copy them.
func (w *walker) skipData() {
	at := w.at()
	head, skip, children := header(w.body[at:])
	if children > 0 {
		w.skip()
		return
	}
	w.seek(at + head + skip)
}

func (w *walker) parameters(p *protocol.InferParameters) {
	w.object(func(key string) {
		switch key {
		case "slo_ms":
			p.SLOMS = w.sloMS()
		case "priority":
			p.Priority, w.err = w.dec.DecodeInt()
		default:
			w.skip()
		}
	})
}

// sloMS reads a number of any kind; nil is none, as in JSON.
func (w *walker) sloMS() *float64 {
	if code, err := w.dec.PeekCode(); err == nil && code == msgpcode.Nil {
		w.skip()
		return nil
	}
	slo, err := w.dec.DecodeFloat64()
	w.err = err
	return &slo
}

// tensor reads one input. The datatype may come after the data.
func (w *walker) tensor() protocol.Tensor {
	var t protocol.Tensor
	dataAt := -1
	w.object(func(key string) {
		switch key {
		case "name":
			t.Name = w.text()
		case "datatype":
			t.Datatype = protocol.DataType(w.text())
		case "shape":
			t.Shape = nil
			w.each(func() {
				d, err := w.dec.DecodeInt64()
				t.Shape, w.err = append(t.Shape, d), err
			})
		case "data":
			dataAt = w.at()
			w.skipData()
		default:
			w.skip()
		}
	})
	if w.done() || dataAt < 0 {
		return t
	}
	var err error
	if t.Data, err = w.data(dataAt, t.Datatype); err != nil {
		w.fault = protocol.Errorf(protocol.InvalidInput, "input %q: %v", t.Name, err)
	}
	return t
}

func (w *walker) at() int { return len(w.body) - w.in.Len() }

// data reads the value at an offset: raw bytes as they are, or an array of
// numbers, which is turned into little-endian bytes of the datatype.
func (w *walker) data(at int, datatype protocol.DataType) ([]byte, error) {
	after := w.at()
	defer w.seek(after)
	w.seek(at)
	head, skip, children := header(w.body[at:])
	switch c := w.body[at]; {
	case c >= 0xc4 && c <= 0xc6:
		return w.body[at+head : at+head+skip : at+head+skip], nil
	case c&0xf0 == 0x90 || c == 0xdc || c == 0xdd:
		return w.numbers(datatype, children)
	}
	return nil, fmt.Errorf("data is neither raw bytes nor an array of numbers")
}

func (w *walker) seek(at int) {
	_, _ = w.in.Seek(int64(at), 0) // cannot fail inside the body
	w.dec.Reset(w.in)
}

func (w *walker) numbers(datatype protocol.DataType, n int) ([]byte, error) {
	if datatype.Size() == 0 {
		return nil, fmt.Errorf("no datatype is called %q", datatype)
	}
	if _, err := w.dec.DecodeArrayLen(); err != nil {
		return nil, err
	}
	out := make([]byte, 0, int64(n)*datatype.Size())
	for i := 0; i < n; i++ {
		var err error
		if out, err = w.number(out, datatype); err != nil {
			return nil, fmt.Errorf("element %d: %w", i, err)
		}
	}
	return out, nil
}

func (w *walker) number(out []byte, datatype protocol.DataType) ([]byte, error) {
	switch datatype {
	case protocol.Bool:
		b, err := w.dec.DecodeBool()
		if err != nil {
			return nil, err
		}
		return appendInt(out, datatype, boolInt(b))
	case protocol.FP16, protocol.FP32, protocol.FP64:
		f, err := w.dec.DecodeFloat64()
		if err != nil {
			return nil, err
		}
		return appendFloat(out, datatype, f), nil
	case protocol.Uint64:
		u, err := w.dec.DecodeUint64()
		if err != nil {
			return nil, err
		}
		return appendUint64(out, u), nil
	}
	i, err := w.dec.DecodeInt64()
	if err != nil {
		return nil, err
	}
	return appendInt(out, datatype, i)
}
