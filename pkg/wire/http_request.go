package wire

import (
	"encoding/json"
	"strconv"
	"strings"

	"clockwork/pkg/protocol"
)

// Requests over HTTP, by the Open Inference Protocol v2 with Triton's extension for binary
// tensors: the body is JSON, and behind it the data of those inputs that have none in the JSON.

// HTTPRequest is a request over HTTP. The budget of its Parameters is the smaller one of
// slo_ms and timeout.
type HTTPRequest struct {
	protocol.InferRequest
	// AllBinary: outputs are wanted as binary data, but for those of Binary, which are listed
	// with their own form.
	AllBinary bool
	Binary    map[string]bool
}

// WantsBinary reports whether an output is wanted as binary data.
func (r *HTTPRequest) WantsBinary(output string) bool {
	if binary, own := r.Binary[output]; own {
		return binary
	}
	return r.AllBinary
}

var overHTTP = dialect{
	parameters: append([]string{"timeout", "binary_data_output", "sequence_id"}, onBroker.parameters...),
	tensor:     append([]string{"parameters"}, onBroker.tensor...),
	output:     append([]string{"parameters"}, onBroker.output...),
}

// The keys of the parameters of inputs and outputs that are read.
var (
	inputParameters  = []string{"binary_data_size", "shared_memory_region"}
	outputParameters = []string{"binary_data", "classification", "shared_memory_region"}
)

// httpJSON is a request without its inputs.
type httpJSON struct {
	ID         string `json:"id"`
	Parameters struct {
		protocol.InferParameters
		Timeout    float64         `json:"timeout"` // in microseconds; 0 is none
		AllBinary  bool            `json:"binary_data_output"`
		SequenceID json.RawMessage `json:"sequence_id"`
	} `json:"parameters"`
	Outputs []struct {
		Name       string     `json:"name"`
		Parameters objectJSON `json:"parameters"`
	} `json:"outputs"`
}

// httpInput are the parameters of an input, httpOutput those of an output.
type httpInput struct {
	BinarySize   *int64          `json:"binary_data_size"`
	SharedMemory json.RawMessage `json:"shared_memory_region"`
}

type httpOutput struct {
	Binary         *bool           `json:"binary_data"`
	Classification json.RawMessage `json:"classification"`
	SharedMemory   json.RawMessage `json:"shared_memory_region"`
}

// HeaderLength is the header that says how many bytes of a body are JSON: of a request with
// binary data, and of an answer.
const HeaderLength = "Inference-Header-Content-Length"

// JSONSize reads the values of that header, for a body of so many bytes: without one, all of
// the body is JSON. 0: the body is the data of the model's inputs.
func JSONSize(values []string, bytes int) (int, *protocol.Error) {
	if len(values) == 0 {
		return bytes, nil
	}
	n, err := strconv.ParseUint(values[0], 10, 63)
	if len(values) > 1 || err != nil || n > uint64(bytes) {
		return 0, protocol.Errorf(protocol.BadMessage, "header %s: %.80q is no number of bytes from 0 to the %d of the body", HeaderLength, strings.Join(values, ", "), bytes)
	}
	return int(n), nil
}

// DecodeHTTP decodes a request over HTTP whose first jsonSize bytes are JSON. Binary data
// alias body. The error is BAD_MESSAGE, or INVALID_INPUT for data that does not fit its
// datatype, and for what is not supported.
func DecodeHTTP(body []byte, jsonSize int) (r HTTPRequest, fault *protocol.Error) {
	var in httpJSON
	binary := binaryPart{rest: body[jsonSize:]}
	r.Inputs, fault = overHTTP.decodeRequest(body[:jsonSize], &in, binary.tensor)
	if fault != nil {
		return HTTPRequest{}, fault
	}
	if len(binary.rest) > 0 {
		return HTTPRequest{}, protocol.Errorf(protocol.BadMessage, "%d bytes follow the binary data that the inputs declare", len(binary.rest))
	}
	if fault = r.fill(&in); fault != nil {
		return HTTPRequest{}, fault
	}
	r.InferRequest, fault = checkID(r.InferRequest)
	return r, fault
}

// fill takes over what the JSON says besides the inputs.
func (r *HTTPRequest) fill(in *httpJSON) *protocol.Error {
	p := &in.Parameters
	if said(p.SequenceID) {
		return protocol.Errorf(protocol.InvalidInput, "sequences are not supported: each request stands alone")
	}
	r.ID, r.Parameters, r.AllBinary, r.Binary = in.ID, p.InferParameters, p.AllBinary, map[string]bool{}
	r.Parameters.SetTimeout(p.Timeout)
	for _, o := range in.Outputs {
		if fault := o.Parameters.check(outputParameters); fault != nil {
			return fault
		}
		var p httpOutput
		if fault := o.Parameters.decodeRest(&p); fault != nil {
			return fault
		}
		switch {
		case said(p.Classification):
			return protocol.Errorf(protocol.InvalidInput, "output %.80q: classification is not supported", o.Name)
		case said(p.SharedMemory):
			return protocol.Errorf(protocol.InvalidInput, "output %.80q: shared memory is not supported", o.Name)
		case p.Binary != nil:
			r.Binary[o.Name] = *p.Binary
		}
		r.Outputs = append(r.Outputs, o.Name)
	}
	return nil
}

// said reports whether a parameter is there and means something: some clients send the value
// that means nothing.
func said(value json.RawMessage) bool {
	switch string(value) {
	case "", "null", "0", `""`, "false":
		return false
	}
	return true
}

// binaryPart is what follows the JSON; each input takes its part in their order.
type binaryPart struct{ rest []byte }

func (b *binaryPart) tensor(o objectJSON) (out protocol.Tensor, fault *protocol.Error) {
	p, fault := inputParametersOf(o)
	if fault != nil {
		return out, fault
	}
	if said(p.SharedMemory) {
		return out, protocol.Errorf(protocol.InvalidInput, "inputs in shared memory are not supported")
	}
	if p.BinarySize == nil {
		return tensorOf(o)
	}
	data := o.take("data")
	var t tensorHead
	if fault := o.decodeRest(&t); fault != nil {
		return out, fault
	}
	out = protocol.Tensor{Name: t.Name, Datatype: t.Datatype, Shape: t.Shape}
	switch size := *p.BinarySize; {
	case len(data) > 0 && string(data) != "null":
		return out, protocol.Errorf(protocol.BadMessage, "input %.80q has data in the JSON and as binary data", t.Name)
	case size < 0 || size > int64(len(b.rest)):
		return out, protocol.Errorf(protocol.BadMessage, "input %.80q: binary_data_size is %d, and %d bytes of binary data are left", t.Name, size, len(b.rest))
	default:
		out.Data, b.rest = b.rest[:size:size], b.rest[size:]
	}
	return out, nil
}

// inputParametersOf takes the parameters out of an input.
func inputParametersOf(o objectJSON) (p httpInput, fault *protocol.Error) {
	text := o.take("parameters")
	if len(text) == 0 {
		return p, nil
	}
	var parameters objectJSON
	if fault = decodeJSON(text, &parameters, clientBounds); fault != nil {
		return p, fault
	}
	if fault = parameters.check(inputParameters); fault != nil {
		return p, fault
	}
	return p, parameters.decodeRest(&p)
}
