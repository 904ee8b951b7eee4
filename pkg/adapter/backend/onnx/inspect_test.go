//go:build linux && !static

package onnx

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"

	"google.golang.org/protobuf/encoding/protowire"
)

// nested is a model whose only node holds a graph with a node that holds a
// graph..., levels deep; each level adds three messages.
func nested(levels int) []byte {
	graph := onnxGraph(nil, nil, nil, nil)
	for range levels {
		attribute := appendBytes(appendString(nil, 1, "body"), 6, graph)
		graph = onnxGraph([][]byte{node("If", []string{"x"}, "y", attribute)}, nil, nil, nil)
	}
	return onnxModel(13, graph)
}

func withTensor(tensor []byte) []byte {
	return onnxModel(13, onnxGraph(nil, [][]byte{tensor}, nil, nil))
}

// hostile are files that no ONNX Runtime must get to see, each with a part of
// the reason.
func hostile() map[string]struct {
	file   []byte
	reason string
} {
	type row = struct {
		file   []byte
		reason string
	}
	huge := func(number int) []byte { // a field that claims 2^63 bytes
		return append(appendVarint(nil, number, 0)[:1], 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01)
	}
	huge7 := huge(modelGraph)
	huge7[0] = modelGraph<<3 | byte(protowire.BytesType)
	good := affine(0, 8, 8)
	rows := map[string]row{
		"empty":                      {nil, "no graph"},
		"text":                       {[]byte("this is no model"), ""},
		"zeros":                      {make([]byte, 100), "not a protobuf"},
		"ones":                       {bytes.Repeat([]byte{0xff}, 100), "not a protobuf"},
		"no graph":                   {appendVarint(nil, 1, 7), "no graph"},
		"graph that is a number":     {appendVarint(nil, modelGraph, 7), "is no message"},
		"field number 0":             {[]byte{0x02, 0x00}, "not a protobuf"},
		"group":                      {[]byte{modelGraph<<3 | 3}, "not a protobuf"},
		"length beyond the file":     {append(appendBytes(nil, 2, nil), modelGraph<<3|byte(protowire.BytesType), 0x7f), "not a protobuf"},
		"length of 2^63":             {huge7, "not a protobuf"},
		"varint without end":         {bytes.Repeat([]byte{0x80}, 20), "not a protobuf"},
		"cut off in the middle":      {good[:len(good)/2], "not a protobuf"},
		"last byte missing":          {good[:len(good)-1], "not a protobuf"},
		"nested 20 graphs deep":      {nested(20), "nested deeper"},
		"nested 1,000 graphs deep":   {nested(1000), "nested deeper"},
		"shape larger than its data": {withTensor(onnxTensor("w", []int64{1000, 1000}, make([]float32, 10))), "tensor"},
		"shape that overflows":       {withTensor(onnxTensor("w", []int64{math.MaxInt64, math.MaxInt64}, make([]float32, 10))), "tensor"},
		"shape that wraps to zero":   {withTensor(onnxTensor("w", []int64{1 << 32, 1 << 32}, nil)), "tensor"},
		"negative dimension":         {withTensor(onnxTensor("w", []int64{-1, -10}, make([]float32, 10))), "tensor"},
		"100 dimensions":             {withTensor(onnxTensor("w", make([]int64, 100), nil)), "dimensions"},
		"external data":              {withTensor(appendBytes(onnxTensor("w", []int64{1}, make([]float32, 1)), tensorExternal, appendString(nil, 1, "/etc/passwd"))), "external data"},
		"external location":          {withTensor(appendVarint(onnxTensor("w", []int64{1}, make([]float32, 1)), tensorLocation, 1)), "external data"},
	}
	return rows
}

func TestHostileFilesAreRefusedBeforeTheRuntimeSeesThem(t *testing.T) {
	for name, row := range hostile() {
		t.Run(name, func(t *testing.T) {
			begin := time.Now()
			refusal := inspect(row.file)
			if refusal == nil || refusal.Code != protocol.ModelCorrupt || !strings.Contains(refusal.Message, row.reason) {
				t.Errorf("got %v, expected MODEL_CORRUPT with %q", refusal, row.reason)
			}
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestOrdinaryModelsPass(t *testing.T) {
	for name, file := range map[string][]byte{"affine": affine(0, 8, 8), "nested 10 deep": nested(10)} {
		if refusal := inspect(file); refusal != nil {
			t.Errorf("%s: %v", name, refusal)
		}
	}
}

func TestManyMessagesAreRefused(t *testing.T) {
	graph := bytes.Repeat(appendBytes(nil, graphNode, nil), maxMessages)
	refusal := inspect(onnxModel(13, graph))
	if refusal == nil || !strings.Contains(refusal.Message, "more than") {
		t.Errorf("got %v", refusal)
	}
}

// FuzzInspect: whatever the bytes, inspect and what runs after it on our side
// come to an end without a panic.
func FuzzInspect(f *testing.F) {
	for _, row := range hostile() {
		if len(row.file) < 10_000 {
			f.Add(row.file)
		}
	}
	f.Add(affine(0, 8, 8))
	f.Add(affine(0, 32, 32))
	f.Fuzz(func(t *testing.T, file []byte) {
		if inspect(file) != nil {
			return
		}
		if l, err := externalizeWeights(file); err == nil {
			l.fill(make([]byte, l.size))
		}
		_, _ = appendHead(file)
	})
}

// BenchmarkInspect walks through a graph of so many nodes.
func BenchmarkInspect(b *testing.B) {
	inner := appendString(appendString(appendString(nil, 1, "input_of_a_node"), 2, "output_of_a_node"), 4, "Conv")
	graph := bytes.Repeat(appendBytes(nil, graphNode, inner), maxMessages/2)
	file := onnxModel(17, graph)
	if refusal := inspect(file); refusal != nil {
		b.Fatal(refusal)
	}
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		_ = inspect(file)
	}
}
