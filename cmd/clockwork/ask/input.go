package ask

import (
	"bytes"
	"context"
	"fmt"
	"os"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// ReadRequest reads a file that contains a request for a model, or the raw bytes of the
// model's inputs: all items of the first, then all of the next.
func ReadRequest(ctx context.Context, stack *client.Client, model, path string) (*protocol.InferRequest, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, cli.WithCode(protocol.InvalidInput, fmt.Errorf("read input: %w", err))
	}
	request, fault := wire.DecodeInfer(body)
	if fault == nil {
		return &request, nil
	}
	json := bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n\ufeff"), []byte("{")) // raw bytes begin with any
	if json && fault.Code == protocol.InvalidInput {
		return nil, fault // it is a request, but an invalid one
	}
	inputs, err := rawInput(ctx, stack, model, path, body)
	if err != nil && json {
		return nil, protocol.Errorf(protocol.InvalidInput, "%s is no request: %s", path, fault.Message)
	}
	if err != nil {
		return nil, err
	}
	return &protocol.InferRequest{Inputs: inputs}, nil
}

// rawInput returns the inputs of a model from a file's bytes: of as many items as they are.
func rawInput(ctx context.Context, stack *client.Client, model, path string, body []byte) ([]protocol.Tensor, error) {
	m, refusal := stack.Model(ctx, model)
	if refusal != nil {
		return nil, refusal
	}
	size := m.ItemBytes()
	if len(body) == 0 || size == 0 || int64(len(body))%size != 0 {
		return nil, protocol.Errorf(protocol.InvalidInput, "%s holds %d bytes: neither a request nor a multiple of the %d bytes that an item of %s takes (%s)",
			path, len(body), size, model, InputText(m.Inputs))
	}
	inputs, refusal := m.Cut(body, int(int64(len(body))/size))
	if refusal != nil {
		return nil, refusal
	}
	return inputs, nil
}
