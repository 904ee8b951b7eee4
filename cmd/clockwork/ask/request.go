package ask

import (
	"context"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
)

// MaxItems is the largest batch that a model.yaml may state.
const MaxItems = 1024

// Infer sends a request and measures the latency that the client sees. The wait for
// activation does not count: the SLO begins after it.
func Infer(ctx context.Context, stack *client.Client, model string, request *protocol.InferRequest, slo, wait time.Duration) (report.Sample, *protocol.InferResponse, *protocol.Error) {
	begin := time.Now()
	response, refusal := stack.Infer(ctx, model, request, wait)
	sample := report.Sample{Model: model, Latency: time.Since(begin), SLO: slo, Code: protocol.OK}
	if refusal != nil {
		sample.Code = refusal.Code
		return sample, nil, refusal
	}
	sample.Latency -= time.Duration(response.Parameters.BufferedMS * float64(time.Millisecond))
	sample.Cold, sample.Batch = response.Parameters.ColdStart, response.Parameters.BatchSize
	return sample, response, nil
}
