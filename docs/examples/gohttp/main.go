// Command gohttp infers over HTTP with the standard library alone: tensors as raw bytes behind
// JSON.
package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

// tensor is an input or output; its data are little-endian bytes.
type tensor struct {
	Name       string `json:"name"`
	Datatype   string `json:"datatype"`
	Shape      []int  `json:"shape"`
	Parameters struct {
		Size int `json:"binary_data_size"`
	} `json:"parameters"`
	data []byte
}

// refusal is an error of the server.
type refusal struct {
	Text       string  `json:"error"`
	Code       string  `json:"code"`
	EarliestMS float64 `json:"earliest_ms"`
}

func (r *refusal) Error() string { return r.Text }

// infer sends inputs and returns the outputs, and the answer's parameters.
func infer(url, model string, inputs []tensor, sloMS float64) (outputs []tensor, parameters map[string]any, err error) {
	for i := range inputs {
		inputs[i].Parameters.Size = len(inputs[i].data)
	}
	head, err := json.Marshal(map[string]any{
		"parameters": map[string]any{"slo_ms": sloMS, "binary_data_output": true}, "inputs": inputs,
	})
	if err != nil {
		return nil, nil, err
	}
	body := bytes.Clone(head)
	for _, in := range inputs {
		body = append(body, in.data...)
	}
	request, err := http.NewRequest(http.MethodPost, url+"/v2/models/"+model+"/infer", bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	request.Header.Set("Inference-Header-Content-Length", strconv.Itoa(len(head)))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	if body, err = io.ReadAll(response.Body); err != nil {
		return nil, nil, err
	}
	if response.StatusCode != http.StatusOK {
		refused := &refusal{}
		if err := json.Unmarshal(body, refused); err != nil {
			return nil, nil, fmt.Errorf("status %d: %s", response.StatusCode, body)
		}
		return nil, nil, refused
	}
	size, err := strconv.Atoi(response.Header.Get("Inference-Header-Content-Length"))
	if err != nil {
		return nil, nil, err
	}
	var answer struct {
		Parameters map[string]any `json:"parameters"`
		Outputs    []tensor       `json:"outputs"`
	}
	if err := json.Unmarshal(body[:size], &answer); err != nil {
		return nil, nil, err
	}
	rest := body[size:]
	for i := range answer.Outputs {
		out := &answer.Outputs[i]
		out.data, rest = rest[:out.Parameters.Size], rest[out.Parameters.Size:]
	}
	return answer.Outputs, answer.Parameters, nil
}

// row is a tensor of one item of numbers.
func row(name string, numbers ...int32) tensor {
	data, err := binary.Append(nil, binary.LittleEndian, numbers)
	if err != nil {
		log.Fatal(err)
	}
	return tensor{Name: name, Datatype: "INT32", Shape: []int{1, len(numbers)}, data: data}
}

func main() {
	url := "http://127.0.0.1:8000"
	if len(os.Args) > 1 {
		url = os.Args[1]
	}
	inputs := []tensor{row("INPUT0", 1, 2, 3, 4), row("INPUT1", 10, 20, 30, 40)}
	outputs, parameters, err := infer(url, "simple", inputs, 1000)
	if err != nil {
		log.Fatal(err)
	}
	for _, out := range outputs {
		numbers := make([]int32, len(out.data)/4)
		if _, err := binary.Decode(out.data, binary.LittleEndian, numbers); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %v\n", out.Name, numbers)
	}
	fmt.Printf("after %v us, of which %v us on %v\n", parameters["latency_us"], parameters["exec_us"], parameters["worker"])
	_, _, err = infer(url, "simple", inputs, 0.001)
	fmt.Println("within 1 us:", err)
}
