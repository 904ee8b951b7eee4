package main

import (
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
)

func TestResponse(t *testing.T) {
	var out strings.Builder
	printResponse(&out, &protocol.InferResponse{ModelName: "m", Parameters: protocol.ResponseParameters{
		LatencyUS: 15000, BatchSize: 4, Worker: "w1", ColdStart: true, BufferedMS: 1200, SchedulerUS: 9080, QueueUS: 20, InputUS: 2, ExecUS: 5820, OutputUS: 40},
		Outputs: []protocol.Tensor{{Name: "y", Datatype: protocol.FP32, Shape: []int64{1, 1000}, Data: make([]byte, 4000)}}})
	command.Printed(t, `
m answered in 15.00 ms
  scheduling        9.08 ms  its weights were loaded for this request
  worker's queue    20.0 us  on w1
  input copy        2.00 us
  execution         5.82 ms  at batch size 4
  output copy       40.0 us
  before that it waited 1200 ms for activation
  output y FP32[1,1000], 3.91 KiB
    0 0 0 0 0 0 0 0 ... (1000 values)
`, out.String())
}
