//go:build linux && !static

package onnx

import (
	"encoding/json"

	"clockwork/pkg/protocol"
)

// What comes from an executor may be what a hostile model made of it: its messages are
// made one line, and only codes of a backend are passed on.

var executorCodes = map[protocol.Code]bool{
	protocol.BackendError: true, protocol.ModelCorrupt: true, protocol.UnsupportedModel: true, protocol.ModelTooLarge: true, protocol.NoMemory: true,
	protocol.InvalidAction: true, protocol.WeightsMissing: true, protocol.UnknownModel: true,
}

// maxRefusal bounds why a model is refused, in bytes: it names several problems.
const maxRefusal = 4 << 10

func cleanRefusal(said *protocol.Error) *protocol.Error {
	if said == nil {
		return nil
	}
	code := said.Code
	if !executorCodes[code] {
		code = protocol.BackendError
	}
	refusal := protocol.Errorf(code, "%s", tidied(said.Message, maxRefusal))
	refusal.Got, refusal.Limit = said.Got, said.Limit
	return refusal
}

// failureOf decodes the answer to an execution that did not succeed.
func failureOf(answer []byte) *protocol.Error {
	var d done
	if err := json.Unmarshal(answer, &d); err != nil || d.Refusal == nil {
		return protocol.Errorf(protocol.BackendError, "the executor gave no answer that can be read")
	}
	return cleanRefusal(d.Refusal)
}
