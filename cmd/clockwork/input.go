package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// request is what the flags say to send.
func (i *inferCommand) request(ctx context.Context, stack *client.Client) (*protocol.InferRequest, error) {
	request := &protocol.InferRequest{}
	var err error
	switch {
	case i.Input != "":
		request, err = i.fromFile(ctx, stack)
	case !i.Generated:
		// A model that is not known yet may be by the time of activation: then
		// it is the worker that has to make the input up.
		if m, known := modelNamed(ctx, stack, i.Model); known {
			request.Inputs = client.Sample(m.Inputs, i.Items)
		}
	}
	if err != nil {
		return nil, err
	}
	ms := float64(i.SLO) / float64(time.Millisecond)
	request.Parameters.SLOMS = &ms
	return request, nil
}

// fromFile reads the input file, whatever form it has.
func (i *inferCommand) fromFile(ctx context.Context, stack *client.Client) (*protocol.InferRequest, error) {
	body, err := os.ReadFile(i.Input)
	if err != nil {
		return nil, coded{protocol.InvalidInput, fmt.Errorf("read input: %w", err)}
	}
	request, fault := wire.DecodeInfer(body)
	if fault == nil {
		return &request, nil
	}
	json := len(body) > 0 && wire.EncodingOf(body) == protocol.JSON
	if json && fault.Code == protocol.InvalidInput {
		return nil, fault // it is a request, and not a good one
	}
	inputs, err := i.raw(ctx, stack, body)
	if err != nil && json {
		return nil, protocol.Errorf(protocol.InvalidInput, "%s is no request: %s", i.Input, fault.Message)
	}
	if err != nil {
		return nil, err
	}
	return &protocol.InferRequest{Inputs: inputs}, nil
}

// raw makes the one input of the model out of a file of bytes.
func (i *inferCommand) raw(ctx context.Context, stack *client.Client, body []byte) ([]protocol.Tensor, error) {
	m, known := modelNamed(ctx, stack, i.Model)
	if !known {
		return nil, protocol.Errorf(protocol.UnknownModel, "no model is called %q", i.Model)
	}
	size := m.ItemBytes()
	if len(m.Inputs) != 1 || len(body) == 0 || size == 0 || int64(len(body))%size != 0 {
		return nil, protocol.Errorf(protocol.InvalidInput, "%s holds %d bytes: neither a request nor a multiple of the %d bytes that an item of %s takes",
			i.Input, len(body), size, i.Model)
	}
	in := m.Inputs[0]
	shape := append([]int64{int64(len(body)) / size}, in.Shape...)
	return []protocol.Tensor{{Name: in.Name, Datatype: in.Datatype, Shape: shape, Data: body}}, nil
}

func modelNamed(ctx context.Context, stack *client.Client, name string) (protocol.ModelState, bool) {
	models, refused := stack.Models(ctx)
	if refused != nil {
		return protocol.ModelState{}, false
	}
	for _, m := range models.Models {
		if m.Name == name {
			return m, true
		}
	}
	return protocol.ModelState{}, false
}
