package emulated

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"clockwork/pkg/protocol"
)

// modelzoo.csv holds 64 networks as measured on one V100 GPU, from the appendix
// table of the Clockwork paper (Gujarati et al., OSDI 2020).
//
//go:embed modelzoo.csv
var zooCSV []byte

// entry is one network of the zoo.
type entry struct {
	name     string
	input    protocol.TensorSpec
	output   protocol.TensorSpec
	weights  int64
	transfer time.Duration
	// exec holds the execution time at each of protocol.BatchSizes.
	exec   []time.Duration
	digest string
}

// zoo holds every model by its path without "zoo/": the paper's, and three that
// take no time at all, which measure everything but the model.
var zoo = func() map[string]entry {
	all := map[string]entry{}
	for _, e := range append(readZoo(zooCSV), null("null", 256), null("null_4k", 4096), null("null_600k", 602112)) {
		sum := sha256.Sum256(fmt.Append(nil, e.name, e.input, e.output, e.weights, e.transfer, e.exec))
		e.digest = hex.EncodeToString(sum[:])
		all[e.name] = e
	}
	return all
}()

// Names returns the paths of all models, sorted.
func Names() []string {
	names := make([]string, 0, len(zoo))
	for name := range zoo {
		names = append(names, pathPrefix+name)
	}
	slices.Sort(names)
	return names
}

func null(name string, input int64) entry {
	return entry{
		name:    name,
		input:   protocol.TensorSpec{Name: "input", Datatype: protocol.FP32, Shape: []int64{input / 4}},
		output:  protocol.TensorSpec{Name: "output", Datatype: protocol.FP32, Shape: []int64{64}},
		weights: 16 << 20,
		exec:    make([]time.Duration, len(protocol.BatchSizes)),
	}
}

// readZoo parses the embedded table; it is ours, so a fault in it is a bug.
func readZoo(table []byte) []entry {
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	if err != nil {
		panic(fmt.Sprintf("read model zoo: %v", err))
	}
	var entries []entry
	for _, row := range rows[1:] {
		numbers := make([]float64, len(row)-1)
		for i, text := range row[1:] {
			if numbers[i], err = strconv.ParseFloat(text, 64); err != nil {
				panic(fmt.Sprintf("read model zoo: %s: %v", row[0], err))
			}
		}
		e := entry{
			name:     protocol.Name(row[0]),
			input:    protocol.TensorSpec{Name: "input", Datatype: protocol.FP32, Shape: imageShape(int64(numbers[0]))},
			output:   protocol.TensorSpec{Name: "output", Datatype: protocol.FP32, Shape: []int64{int64(numbers[1]) / 4}},
			weights:  int64(numbers[2]),
			transfer: milliseconds(numbers[3]),
		}
		for _, ms := range numbers[4:] {
			e.exec = append(e.exec, milliseconds(ms))
		}
		entries = append(entries, e)
	}
	return entries
}

// imageShape is the picture that so many bytes hold.
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

// execution returns the time of a batch: measured, or on the line between the
// measured sizes around it.
func (e entry) execution(batch int) time.Duration {
	for i, size := range protocol.BatchSizes {
		if batch == size {
			return e.exec[i]
		}
		if batch < size && i > 0 {
			low := protocol.BatchSizes[i-1]
			part := float64(batch-low) / float64(size-low)
			return e.exec[i-1] + time.Duration(part*float64(e.exec[i]-e.exec[i-1]))
		}
	}
	return e.exec[len(e.exec)-1]
}
