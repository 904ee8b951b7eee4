// Package zoo is the Clockwork paper's model zoo as data: each network's inputs,
// outputs, weights and durations on the paper's GPU. It also has a few networks as a
// processor executes them. The emulated backend and the simulator take their durations
// from it. It is pure.
package zoo

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"clockwork/pkg/protocol"
)

// modelzoo.csv holds 64 networks as measured on one V100 GPU, from the appendix table of
// the Clockwork paper (Gujarati et al., OSDI 2020).
//
//go:embed modelzoo.csv
var table []byte

// processor.csv holds networks of the ONNX project as ONNX Runtime 1.32.0 executed them on
// one thread of a server's processor (AMD EPYC), on which batches gain nothing. Batches of
// 16 were not measured: they count as two of 8.
//
//go:embed processor.csv
var processorTable []byte

// OnProcessor begins the names of the networks whose durations are those of a processor.
const OnProcessor = "cpu_"

// Prefix begins the path of every network: zoo/resnet50_v2.
const Prefix = "zoo/"

// Version is part of a profile's key; it changes with the zoo's data.
const Version = "1"

// Network is one network of the zoo.
type Network struct {
	Name          string
	Input, Output protocol.TensorSpec
	// Weights is the size of the weights in bytes, Transfer their transfer time to a
	// GPU.
	Weights  int64
	Transfer time.Duration
	Digest   string

	exec protocol.Profile // P50 of Infer is the time at each of protocol.BatchSizes
}

// networks holds all networks by name: the paper's, those of a processor, and four with a
// duration of 0, for measuring everything but the model.
var networks = func() map[string]*Network {
	var measured []*Network
	for _, t := range [][]byte{table, processorTable} {
		of, err := read(t)
		if err != nil {
			panic(err) // the embedded tables are valid
		}
		measured = append(measured, of...)
	}
	all := map[string]*Network{}
	for _, n := range append(measured, null("null", 256), null("null_4k", 4096), null("null_89k", 89<<10), null("null_600k", 602112)) {
		sum := sha256.Sum256(fmt.Append(nil, n.Name, n.Input, n.Output, n.Weights, n.Transfer, n.executions()))
		n.Digest = hex.EncodeToString(sum[:])
		all[n.Name] = n
	}
	return all
}()

// Find returns the network at a path, nil if there is none.
func Find(path string) *Network {
	name, ok := strings.CutPrefix(path, Prefix)
	if !ok {
		return nil
	}
	return networks[name]
}

// Paths returns the paths of all networks, sorted.
func Paths() []string {
	paths := make([]string, 0, len(networks))
	for name := range networks {
		paths = append(paths, Prefix+name)
	}
	slices.Sort(paths)
	return paths
}

func null(name string, input int64) *Network {
	return &Network{
		Name:    name,
		Input:   protocol.TensorSpec{Name: "input", Datatype: protocol.FP32, Shape: []int64{input / 4}},
		Output:  protocol.TensorSpec{Name: "output", Datatype: protocol.FP32, Shape: []int64{64}},
		Weights: 16 << 20,
		exec:    measured(make([]time.Duration, len(protocol.BatchSizes))),
	}
}

// columns of the table: a name, bytes of input and output, bytes of weights, and
// milliseconds of their transfer and of each batch size.
var columns = 5 + len(protocol.BatchSizes)

// read parses a table with a header row.
func read(table []byte) ([]*Network, error) {
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read model zoo: %w", err)
	}
	if len(rows) == 0 {
		return nil, errors.New("read model zoo: it is empty")
	}
	var all []*Network
	for _, row := range rows[1:] {
		n, err := network(row)
		if err != nil {
			return nil, fmt.Errorf("read model zoo: %s: %w", row[0], err)
		}
		all = append(all, n)
	}
	return all, nil
}

func network(row []string) (*Network, error) {
	if len(row) != columns || !protocol.ValidName(protocol.Name(row[0])) {
		return nil, fmt.Errorf("expected a name and %d numbers", columns-1)
	}
	numbers := make([]float64, columns-1)
	for i, text := range row[1:] {
		var err error
		if numbers[i], err = strconv.ParseFloat(text, 64); err != nil {
			return nil, err
		}
		if !(numbers[i] >= 0 && numbers[i] <= maxNumber) {
			return nil, fmt.Errorf("%s is not from 0 to %d", text, int64(maxNumber))
		}
	}
	n := &Network{
		Name:     protocol.Name(row[0]),
		Input:    protocol.TensorSpec{Name: "input", Datatype: protocol.FP32, Shape: imageShape(int64(numbers[0]))},
		Output:   protocol.TensorSpec{Name: "output", Datatype: protocol.FP32, Shape: []int64{int64(numbers[1]) / 4}},
		Weights:  int64(numbers[2]),
		Transfer: milliseconds(numbers[3]),
	}
	var times []time.Duration
	for _, ms := range numbers[4:] {
		times = append(times, milliseconds(ms))
	}
	n.exec = measured(times)
	return n, nil
}

// measured is a profile with the time at each of protocol.BatchSizes.
func measured(times []time.Duration) (p protocol.Profile) {
	for i, d := range times {
		p.Infer = append(p.Infer, protocol.BatchMeasurement{Batch: protocol.BatchSizes[i], Measurement: protocol.Measurement{P50: d}})
	}
	return p
}

// executions returns the execution time at each of protocol.BatchSizes.
func (n *Network) executions() []time.Duration {
	var times []time.Duration
	for _, b := range n.exec.Infer {
		times = append(times, b.P50)
	}
	return times
}

// maxNumber bounds bytes and milliseconds of the table.
const maxNumber = 1 << 40

// imageShape returns the image shape of an input of this many bytes, or a flat shape.
func imageShape(bytes int64) []int64 {
	switch bytes {
	case 602112:
		return []int64{3, 224, 224}
	case 1072812:
		return []int64{3, 299, 299}
	case 589824:
		return []int64{3, 256, 192}
	case 12288:
		return []int64{3, 32, 32}
	}
	return []int64{bytes / 4}
}

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// Execution returns the execution time of a batch: measured, or interpolated linearly
// between the nearest measured sizes.
func (n *Network) Execution(batch int) time.Duration {
	return n.exec.Interpolated(batch, protocol.P50Of)
}

// Spec returns the network's spec as loaded from its path: any batch size up to maxBatch
// (0: the largest measured), weights in pages of pageSize bytes.
func (n *Network) Spec(backend, version string, pageSize int64, maxBatch int) protocol.ModelSpec {
	spec := protocol.ModelSpec{
		Path:           Prefix + n.Name,
		Digest:         n.Digest,
		Backend:        backend,
		BackendVersion: version,
		Inputs:         []protocol.TensorSpec{n.Input},
		Outputs:        []protocol.TensorSpec{n.Output},
		AnyBatch:       true,
		WeightsBytes:   n.Weights,
		Pages:          protocol.PagesFor(n.Weights, pageSize),
	}
	for _, size := range protocol.BatchSizes {
		if size == 1 || maxBatch == 0 || size <= maxBatch {
			spec.BatchSizes = append(spec.BatchSizes, size)
		}
	}
	return spec
}

// Measured returns the network with other sizes and times: bytes of one item's input and
// output and of the weights, their transfer, and executions by batch size, at least one.
func (n *Network) Measured(input, output, weights int64, transfer time.Duration, infer []protocol.BatchMeasurement) *Network {
	m := *n
	m.Weights, m.Transfer, m.exec = weights, transfer, protocol.Profile{Infer: infer}
	for tensor, bytes := range map[*protocol.TensorSpec]int64{&m.Input: input, &m.Output: output} {
		if tensor.Bytes() != bytes {
			tensor.Datatype, tensor.Shape = protocol.Uint8, []int64{bytes}
		}
	}
	return &m
}
