// Command goclient infers over NATS with Clockwork's own client, which checks sizes and answers.
package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"log"
	"os"
	"time"

	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
)

// row is a tensor of one item of numbers.
func row(name string, numbers ...int32) protocol.Tensor {
	data, err := binary.Append(nil, binary.LittleEndian, numbers)
	if err != nil {
		log.Fatal(err)
	}
	return protocol.Tensor{Name: name, Datatype: protocol.Int32, Shape: []int64{1, int64(len(numbers))}, Data: data}
}

func main() {
	url := "nats://127.0.0.1:4222"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	stack, err := client.Connect(url, "")
	if err != nil {
		log.Fatal(err)
	}
	defer stack.Close()
	slo := 1000.0 // ms
	request := &protocol.InferRequest{
		Inputs:     []protocol.Tensor{row("INPUT0", 1, 2, 3, 4), row("INPUT1", 10, 20, 30, 40)},
		Parameters: protocol.InferParameters{SLOMS: &slo},
	}
	answer, refusal := stack.Infer(context.Background(), "simple", request, time.Second)
	if refusal != nil {
		log.Fatal(refusal)
	}
	for _, out := range answer.Outputs {
		numbers := make([]int32, len(out.Data)/4)
		if _, err := binary.Decode(out.Data, binary.LittleEndian, numbers); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %v\n", out.Name, numbers)
	}
	p := answer.Parameters
	fmt.Printf("after %d us, of which %d us on %s\n", p.LatencyUS, p.ExecUS, p.Worker)
	slo = 0.001
	_, refusal = stack.Infer(context.Background(), "simple", request, time.Second)
	fmt.Println("within 1 us:", refusal)
}
