package main

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"clockwork/services/gateway/grpcapi/oippb"
)

// grpcConnections is how many connections the calls share, as a client's pool would have.
const grpcConnections = 4

// modelInfer is the call of a request.
const modelInfer = "/inference.GRPCInferenceService/ModelInfer"

// openGRPC has as many callers as requests are outstanding; each has one call at a time.
func openGRPC(s size, up *upStack, models []string, x *side) error {
	x.began, x.done, x.subjects = time.Now(), make(chan int, slots), models
	queue := make(chan order, slots)
	x.stops = append(x.stops, func() { close(queue) })
	x.send1 = func(slot int, model string) error { queue <- order{slot, model}; return nil }
	requests := map[string]*oippb.ModelInferRequest{}
	for _, model := range models {
		requests[model] = grpcRequest(model, s.bytes)
	}
	var connections []*grpc.ClientConn
	for range grpcConnections {
		c, err := grpc.NewClient("passthrough:///"+up.grpc, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return err
		}
		x.stops = append(x.stops, func() { _ = c.Close() })
		connections = append(connections, c)
	}
	for i := range s.outstanding {
		go func() {
			for o := range queue {
				var answer oippb.ModelInferResponse
				if err := connections[i%len(connections)].Invoke(context.Background(), modelInfer, requests[o.model], &answer); err != nil {
					x.fail(err.Error())
				}
				x.done <- o.slot
			}
		}()
	}
	return nil
}

// grpcRequest is a request with a raw tensor of so many bytes.
func grpcRequest(model string, bytes int) *oippb.ModelInferRequest {
	return &oippb.ModelInferRequest{
		ModelName:        model,
		Parameters:       map[string]*oippb.InferParameter{"slo_ms": {ParameterChoice: &oippb.InferParameter_Int64Param{Int64Param: 10_000}}},
		Inputs:           []*oippb.ModelInferRequest_InferInputTensor{{Name: "input", Datatype: "FP32", Shape: []int64{1, int64(bytes / 4)}}},
		RawInputContents: [][]byte{make([]byte, bytes)},
	}
}
