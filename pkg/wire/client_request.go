package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"sync"

	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
)

// EncodingOf returns a body's encoding, by its first byte. A message in msgpack is a map
// and begins with 0x80 or above; the bytes from 0xe0 on are small negative numbers there,
// and in text the beginning of a byte order mark or of a character. All text counts as
// JSON, and so does an empty body: a person typed it.
func EncodingOf(body []byte) protocol.Encoding {
	if len(body) == 0 || body[0] < 0x80 || body[0] >= 0xe0 {
		return protocol.JSON
	}
	return protocol.Msgpack
}

// DecodeInfer decodes a client's inference request. Tensors sent as raw bytes alias
// body. The error is BAD_MESSAGE, or INVALID_INPUT for data that does not fit its
// datatype.
func DecodeInfer(body []byte) (protocol.InferRequest, *protocol.Error) {
	if EncodingOf(body) == protocol.JSON {
		return decodeInferJSON(body)
	}
	if fault := scanWhole(body); fault != nil {
		return protocol.InferRequest{}, fault
	}
	if fault := isMap(body); fault != nil {
		return protocol.InferRequest{}, fault
	}
	w := walkers.Get().(*walker)
	defer w.free()
	w.body, w.fault = body, nil
	r := w.request()
	if w.fault != nil {
		return protocol.InferRequest{}, w.fault
	}
	if w.err != nil {
		return protocol.InferRequest{}, protocol.Errorf(protocol.BadMessage, "decode request: %v", w.err)
	}
	return r, nil
}

// checkID bounds the id, which is only echoed in the answer.
func checkID(r protocol.InferRequest) (protocol.InferRequest, *protocol.Error) {
	if len(r.ID) > protocol.MaxName {
		return protocol.InferRequest{}, longID(len(r.ID))
	}
	return r, nil
}

func longID(length int) *protocol.Error {
	fault := protocol.Errorf(protocol.BadMessage, "the id has %d bytes, at most %d are kept", length, protocol.MaxName)
	fault.Got, fault.Limit = int64(length), protocol.MaxName
	return fault
}

// Limits up to which a body is decoded on the receiving goroutine, which takes tens of
// microseconds.
const (
	quickJSON     = 4 << 10 // bytes
	quickElements = 1 << 10 // of msgpack; raw bytes are one element, whatever their length
)

// ReadsSlowly reports whether DecodeInfer may take so long that the receiving goroutine
// should not run it.
func ReadsSlowly(body []byte) bool {
	if EncodingOf(body) == protocol.JSON {
		return len(body) > quickJSON
	}
	if len(body) <= quickElements {
		return false
	}
	_, fault := prescan(body, quickElements)
	return fault != nil
}

// tensorJSON is a tensor of a reply.
type tensorJSON struct {
	tensorHead
	Data json.RawMessage `json:"data"`
}

// tensorHead is a tensor without its numbers.
type tensorHead struct {
	Name     string            `json:"name"`
	Shape    []int64           `json:"shape"`
	Datatype protocol.DataType `json:"datatype"`
}

// DecodeBody decodes a client's control message, in either encoding, into a struct with
// json tags. An empty body leaves the struct unchanged.
func DecodeBody(body []byte, into any) *protocol.Error {
	if len(body) > 0 && EncodingOf(body) == protocol.JSON {
		var keys objectJSON
		if fault := decodeObject(body, &keys, clientBounds); fault != nil {
			return fault
		}
		if fault := keys.check(keysOf(into)); fault != nil {
			return fault
		}
		return decodeBody(exactIntegers(body), into, clientBounds)
	}
	if fault := clientBounds.scan(body); len(body) > 0 && fault != nil {
		return fault
	}
	body, fault := wholeNumbers(body)
	if fault != nil {
		return fault
	}
	return decodeBody(body, into, clientBounds)
}

// DecodeReply decodes the stack's replies about all its models and workers, as
// DecodeBody does.
func DecodeReply(body []byte, into any) *protocol.Error { return decodeBody(body, into, replyBounds) }

// decodeBody is the only function that passes msgpack to the library.
func decodeBody(body []byte, into any, b bounds) *protocol.Error {
	if len(body) == 0 {
		return nil
	}
	if EncodingOf(body) == protocol.JSON {
		return decodeObject(body, into, b)
	}
	if fault := b.scan(body); fault != nil {
		return fault
	}
	if fault := isMap(body); fault != nil {
		return fault
	}
	dec := msgpack.NewDecoder(bytes.NewReader(body))
	dec.SetCustomStructTag("json")
	if err := dec.Decode(into); err != nil {
		return protocol.Errorf(protocol.BadMessage, "decode message: %v", err)
	}
	return nil
}

// walker decodes a client's msgpack: a tensor's raw bytes are not copied. The body was
// pre-scanned. As in JSON, nil stands for a missing value.
type walker struct {
	reader
	fault *protocol.Error // an error with a code of its own
	words words
}

var walkers = sync.Pool{New: func() any { return &walker{} }}

// free returns a walker to the pool; decoded values still refer to the body.
func (w *walker) free() {
	w.reader = reader{}
	walkers.Put(w)
}

// fields returns how many pairs of key and value follow, items how many elements; 0 for
// nil.
func (w *walker) fields() int {
	if w.isNil() {
		return 0
	}
	return w.object()
}

func (w *walker) items() int {
	if w.isNil() {
		return 0
	}
	return w.array()
}

func (w *walker) word() string {
	if w.isNil() {
		return ""
	}
	return w.words.of(w.text())
}

// whole reads an integer; some languages write integers as floats.
func (w *walker) whole() int64 {
	if c := w.peek(); c != 0xca && c != 0xcb {
		return w.int()
	}
	f := w.float()
	if f != math.Trunc(f) || math.Abs(f) >= 1<<63 {
		w.fail("whole number before it")
		return 0
	}
	return int64(f)
}

// wholeUint is whole for numbers of 64 bits without a sign.
func (w *walker) wholeUint() uint64 {
	if c := w.peek(); c != 0xca && c != 0xcb {
		return w.uint()
	}
	f := w.float()
	if f != math.Trunc(f) || f < 0 || f >= 1<<64 {
		w.fail("whole number before it")
		return 0
	}
	return uint64(f)
}

func (w *walker) done() bool { return w.err != nil || w.fault != nil }

func (w *walker) request() (r protocol.InferRequest) {
	for n := w.fields(); n > 0 && !w.done(); n-- {
		switch key := w.text(); string(key) {
		case "id":
			r.ID = ""
			if !w.isNil() {
				r.ID = w.id()
			}
		case "parameters":
			w.parameters(&r.Parameters)
		case "inputs":
			r.Inputs = nil // of duplicate keys, the last counts
			for n := w.items(); n > 0 && !w.done(); n-- {
				r.Inputs = append(r.Inputs, w.tensor())
			}
		case "outputs":
			r.Outputs = nil
			for n := w.items(); n > 0 && !w.done(); n-- {
				r.Outputs = append(r.Outputs, w.output())
			}
		default:
			w.other(key, requestKeys)
		}
	}
	return r
}

// output reads the name of an output that is asked for.
func (w *walker) output() (name string) {
	for n := w.fields(); n > 0 && !w.done(); n-- {
		switch key := w.text(); string(key) {
		case "name":
			name = w.word()
		default:
			w.other(key, onBroker.output)
		}
	}
	return name
}

// other skips the value of a key that is not read, unless that is a key in another case.
func (w *walker) other(key []byte, known []string) {
	if fault := otherCase(string(key), known); fault != nil && !w.done() {
		w.fault = fault
		return
	}
	w.skip()
}

// id reads an id. Ids rarely repeat, so the id is copied; it is an error if it is too
// long.
func (w *walker) id() string {
	text := w.text()
	if w.err == nil && len(text) > protocol.MaxName {
		w.fault = longID(len(text))
		return ""
	}
	return string(text)
}

func (w *walker) parameters(p *protocol.InferParameters) {
	for n := w.fields(); n > 0 && !w.done(); n-- {
		switch key := w.text(); string(key) {
		case "slo_ms":
			p.SLOMS = nil
			if !w.isNil() {
				slo := w.float()
				p.SLOMS = &slo
			}
		case "priority":
			p.Priority = 0
			if !w.isNil() {
				p.Priority = int(w.whole())
			}
		default:
			w.other(key, onBroker.parameters)
		}
	}
}

// tensor reads one input. The datatype may come after the data.
func (w *walker) tensor() (t protocol.Tensor) {
	dataAt := -1
	for n := w.fields(); n > 0 && !w.done(); n-- {
		switch key := w.text(); string(key) {
		case "name":
			t.Name = w.word()
		case "datatype":
			t.Datatype = protocol.DataType(w.word())
		case "shape":
			t.Shape = w.shape()
		case "data":
			dataAt = w.at
			w.skip()
		default:
			w.other(key, onBroker.tensor)
		}
	}
	if w.done() || dataAt < 0 {
		return t
	}
	after := w.at
	w.at = dataAt
	var err error
	if t.Data, err = w.data(t.Datatype, t.Shape); err != nil {
		w.fault = protocol.Errorf(protocol.InvalidInput, "input %q: %v", t.Name, err)
	}
	w.at = after
	return t
}

func (w *walker) shape() []int64 {
	n := w.items()
	if n == 0 {
		return nil
	}
	shape := make([]int64, n) // the reader has checked that the body has n elements
	for i := range shape {
		shape[i] = w.whole()
	}
	return shape
}

// data returns raw bytes unchanged, or converts an array of numbers to little-endian
// bytes of the datatype.
func (w *walker) data(datatype protocol.DataType, shape []int64) ([]byte, error) {
	switch c := w.peek(); {
	case c >= 0xc4 && c <= 0xc6:
		return w.text(), nil
	case c&0xf0 == 0x90 || c == 0xdc || c == 0xdd:
		return w.numbers(datatype, shape)
	}
	return nil, fmt.Errorf("data is neither raw bytes nor an array of numbers")
}

func (w *walker) numbers(datatype protocol.DataType, shape []int64) ([]byte, error) {
	if datatype.Size() == 0 {
		return nil, fmt.Errorf("no datatype is called %q", datatype)
	}
	n := w.array()
	out := make([]byte, 0, int64(n)*datatype.Size())
	nest := nesting{shape: shape}
	return w.elements(out, datatype, n, &nest)
}

// elements appends n numbers, or the numbers of n arrays.
func (w *walker) elements(out []byte, datatype protocol.DataType, n int, nest *nesting) ([]byte, error) {
	nest.open()
	for range n {
		var err error
		if c := w.peek(); c&0xf0 == 0x90 || c == 0xdc || c == 0xdd {
			out, err = w.elements(out, datatype, w.array(), nest) // of a depth that the pre-scan bounds
		} else if err = nest.number(); err == nil {
			if out, err = w.number(out, datatype); err != nil {
				err = fmt.Errorf("element %d: %w", nest.count-1, err)
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nest.close()
}

// number reads an element. Its error concerns only the data: the rest of the message is
// readable.
func (w *walker) number(out []byte, datatype protocol.DataType) ([]byte, error) {
	var err error
	switch datatype {
	case protocol.Bool:
		out, err = appendInt(out, datatype, boolInt(w.flag()))
	case protocol.FP16, protocol.FP32, protocol.FP64:
		out, err = appendFloat(out, datatype, w.float())
	case protocol.Uint64:
		out = appendUint64(out, w.wholeUint())
	default:
		out, err = appendInt(out, datatype, w.whole())
	}
	if w.err != nil {
		err, w.err = w.err, nil
	}
	return out, err
}
