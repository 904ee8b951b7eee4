// Command example sends a request to a model as any NATS client can: without a
// Clockwork library, only with nats.go and msgpack.
package main

import (
	"fmt"
	"log"
	"os"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/vmihailenco/msgpack/v5"
)

func main() {
	url := nats.DefaultURL
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	nc, err := nats.Connect(url)
	if err != nil {
		log.Fatal(err)
	}
	defer nc.Close()

	picture := make([]byte, 4*3*224*224) // float32, little-endian
	body, err := msgpack.Marshal(map[string]any{
		"id":         "cat-1",
		"parameters": map[string]any{"slo_ms": 100},
		"inputs": []any{map[string]any{
			"name": "input", "datatype": "FP32", "shape": []int{1, 3, 224, 224}, "data": picture,
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	reply, err := nc.Request("clockwork.infer.resnet50_v2", body, time.Second)
	if err != nil {
		log.Fatal(err)
	}
	var answer struct {
		ID         string         `msgpack:"id"`
		Parameters map[string]any `msgpack:"parameters"`
		Outputs    []struct {
			Name  string `msgpack:"name"`
			Shape []int  `msgpack:"shape"`
			Data  []byte `msgpack:"data"`
		} `msgpack:"outputs"`
		Error *struct {
			Code    string `msgpack:"code"`
			Message string `msgpack:"message"`
		} `msgpack:"error"`
	}
	if err := msgpack.Unmarshal(reply.Data, &answer); err != nil {
		log.Fatal(err)
	}
	if answer.Error != nil {
		log.Fatalf("%s: %s", answer.Error.Code, answer.Error.Message)
	}
	out := answer.Outputs[0]
	fmt.Printf("%s: %s %v, %d bytes, after %v us\n", answer.ID, out.Name, out.Shape, len(out.Data), answer.Parameters["latency_us"])
}
