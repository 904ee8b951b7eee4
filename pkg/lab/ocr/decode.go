package ocr

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"strings"
)

// Keys is a recognition model's alphabet: class 0 is the CTC blank, then one
// class per line of the keys file, then a space.
type Keys struct {
	symbols []string
}

// ReadKeys reads a keys file, one symbol per line. A final newline is allowed.
// An empty line inside is an error, because it would shift all following
// classes.
func ReadKeys(r io.Reader) (*Keys, error) {
	symbols := []string{""}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		symbol := strings.TrimSuffix(lines.Text(), "\r")
		if symbol == "" {
			return nil, fmt.Errorf("read keys: line %d is empty", len(symbols))
		}
		symbols = append(symbols, symbol)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	if len(symbols) == 1 {
		return nil, fmt.Errorf("read keys: there are none")
	}
	return &Keys{symbols: append(symbols, " ")}, nil
}

// Classes returns how many classes the model's output has: 6625 for
// ppocr_keys_v1.txt with its 6623 lines.
func (k *Keys) Classes() int { return len(k.symbols) }

// Reading is a recognised text. Confidence is the mean probability of its
// symbols, between 0 and 1; 0 if the text is empty.
type Reading struct {
	Text       string
	Confidence float64
}

// Decode reads one item of a model's output: float32 little-endian, shape [T,
// Classes()] (probabilities) or [T, 2] (the index of the largest, then its
// probability). It is greedy CTC: the best class of each step, without repeats
// and blanks, and the text trimmed of spaces. Decode returns an error if the
// shape is neither of these, if data does not have its size, or if a value is
// NaN or no class.
func (k *Keys) Decode(data []byte, shape []int64) (Reading, error) {
	best := k.bestOf
	switch {
	case len(shape) != 2 || shape[0] < 0:
		return Reading{}, fmt.Errorf("decode: expected shape [T,%d] or [T,2], got %v", k.Classes(), shape)
	case shape[1] == 2 && k.Classes() != 2:
		best = k.given
	case shape[1] != int64(k.Classes()):
		return Reading{}, fmt.Errorf("decode: expected shape [T,%d] or [T,2], got %v", k.Classes(), shape)
	}
	step := 4 * int(shape[1])
	if len(data)%step != 0 || int64(len(data)/step) != shape[0] {
		return Reading{}, fmt.Errorf("decode: shape %v does not take %d bytes", shape, len(data))
	}
	var text strings.Builder
	sum, kept, last := 0.0, 0, 0
	for t := 0; t < len(data); t += step {
		class, p, err := best(data[t : t+step])
		if err != nil {
			return Reading{}, fmt.Errorf("decode step %d: %w", t/step, err)
		}
		if class != 0 && class != last {
			text.WriteString(k.symbols[class])
			sum += p
			kept++
		}
		last = class
	}
	if kept == 0 {
		return Reading{}, nil
	}
	return Reading{Text: strings.Trim(text.String(), " "), Confidence: sum / float64(kept)}, nil
}

// bestOf returns the largest of all classes, the first of equals.
func (k *Keys) bestOf(step []byte) (int, float64, error) {
	class, largest := 0, float32(math.Inf(-1))
	for i := range k.symbols {
		v := float32At(step, i)
		if v != v {
			return 0, 0, fmt.Errorf("class %d is not a number", i)
		}
		if v > largest {
			class, largest = i, v
		}
	}
	return class, float64(largest), nil
}

// given returns the index and the probability that the model computed itself.
func (k *Keys) given(step []byte) (int, float64, error) {
	index, p := float32At(step, 0), float32At(step, 1)
	if !(index >= 0 && index < float32(len(k.symbols))) || index != float32(int(index)) || p != p {
		return 0, 0, fmt.Errorf("(%v, %v) is no class with a probability", index, p)
	}
	return int(index), float64(p), nil
}

func float32At(data []byte, i int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
}
