package main

import (
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/command"
)

func TestLoadReply(t *testing.T) {
	picture := []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{3, 48, 192}}}
	var out strings.Builder
	printLoad(&out, &protocol.LoadReply{Models: []string{"m-1", "m-2"}, Inputs: picture, Outputs: picture, BatchSizes: []int{1, 2}, Pages: 7})
	command.Printed(t, `
loaded 2 copies: m-1 to m-2
  input   x FP32[3,48,192]
  output  x FP32[3,48,192]
  batches [1 2]
  weights 7 pages a copy
`, out.String())
}
