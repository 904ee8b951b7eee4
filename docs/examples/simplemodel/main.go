// Command simplemodel writes the model of the examples into a model directory, as a Triton
// model repository has it.
package main

import (
	"log"
	"os"

	"clockwork/pkg/testkit/onnxfile"
)

const config = `name: "simple"
backend: "onnxruntime"
max_batch_size: 8
input [
  { name: "INPUT0" data_type: TYPE_INT32 dims: [ 4 ] },
  { name: "INPUT1" data_type: TYPE_INT32 dims: [ 4 ] }
]
output [
  { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 4 ] },
  { name: "OUTPUT1" data_type: TYPE_INT32 dims: [ 4 ] }
]
`

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: simplemodel DIRECTORY")
	}
	if err := onnxfile.Write(os.Args[1], "simple", config, onnxfile.SumAndDifference(4)); err != nil {
		log.Fatal(err)
	}
}
