package wire

import "clockwork/pkg/protocol"

// binaryHead is an output whose data follows the JSON.
type binaryHead struct {
	tensorHead
	Parameters binarySize `json:"parameters"`
}

type binarySize struct {
	Bytes int `json:"binary_data_size"`
}

// HTTPOutputs writes the tensors of an answer over HTTP, each as the request wants it. data
// are those that follow the JSON, in their order.
func HTTPOutputs(outputs []protocol.Tensor, r *HTTPRequest) (text []byte, data [][]byte) {
	text = []byte{'['}
	for i, t := range outputs {
		if i > 0 {
			text = append(text, ',')
		}
		head := tensorHead{t.Name, t.Shape, t.Datatype}
		if r.WantsBinary(t.Name) {
			text = append(text, EncodeBody(protocol.JSON, binaryHead{head, binarySize{len(t.Data)}})...)
			data = append(data, t.Data)
			continue
		}
		text = appendMember(text, EncodeBody(protocol.JSON, head), "data", numbersToJSON(t.Datatype, t.Data))
	}
	return append(text, ']'), data
}

// httpError is an error over HTTP. Clients show `error`, which must be a string; our numbers
// stand beside it.
type httpError struct {
	Text string `json:"error"`
	*protocol.Error
}

// EncodeHTTPError returns the body of an error over HTTP.
func EncodeHTTPError(e *protocol.Error) []byte {
	e = brief(e)
	return EncodeBody(protocol.JSON, httpError{e.Error(), e})
}
