package ocr

import (
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

// Classes of the test's alphabet: 0 blank, 1 a, 2 b, 3 the space.
func keys(t *testing.T) *Keys {
	t.Helper()
	k, err := ReadKeys(strings.NewReader("a\nb"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func floats(values ...float32) []byte {
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return data
}

// pairs is a [T,2] output in which every step has the probability p.
func pairs(p float32, classes ...float32) []byte {
	var values []float32
	for _, class := range classes {
		values = append(values, class, p)
	}
	return floats(values...)
}

func TestDecodeIsGreedyCTC(t *testing.T) {
	for _, row := range []struct {
		name    string
		classes []float32
		want    string
	}{
		{"symbols follow each other", []float32{1, 2}, "ab"},
		{"a repeat is one symbol", []float32{1, 1, 1, 2, 2}, "ab"},
		{"a blank keeps two equal symbols apart", []float32{1, 0, 1}, "aa"},
		{"blanks are dropped", []float32{0, 0, 1, 0, 2, 0}, "ab"},
		{"the class after the last line is a space", []float32{1, 3, 2}, "a b"},
		{"spaces at the ends are trimmed", []float32{3, 0, 3, 1, 3}, "a"},
		{"only blanks are no text", []float32{0, 0}, ""},
		{"no steps are no text", nil, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := keys(t).Decode(pairs(0.5, row.classes...), []int64{int64(len(row.classes)), 2})
			if err != nil || got.Text != row.want {
				t.Fatalf("got %q, %v; want %q", got.Text, err, row.want)
			}
			if wantP := map[bool]float64{true: 0.5}[row.want != ""]; got.Confidence != wantP {
				t.Errorf("confidence %v, want %v", got.Confidence, wantP)
			}
		})
	}
}

func TestDecodeTakesTheBestClassOfProbabilities(t *testing.T) {
	data := floats(
		0.125, 0.75, 0.125, 0, // a
		0.125, 0.5, 0.375, 0, // a again: not counted
		1, 0, 0, 0, // blank: not counted
		0, 0, 0.25, 0.25) // b, the first of equals
	got, err := keys(t).Decode(data, []int64{4, 4})
	if want := (Reading{Text: "ab", Confidence: 0.5}); err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

func TestDecodeRefusesWhatIsNoOutput(t *testing.T) {
	nan := float32(math.NaN())
	for _, row := range []struct {
		name  string
		data  []byte
		shape []int64
	}{
		{"no shape", nil, nil},
		{"a batch dimension", floats(1, 1), []int64{1, 1, 2}},
		{"a negative dimension", nil, []int64{-1, 2}},
		{"neither two nor all classes", floats(1, 1, 1), []int64{1, 3}},
		{"fewer bytes than the shape", floats(1), []int64{1, 2}},
		{"more bytes than the shape", floats(1, 1, 1, 1), []int64{1, 2}},
		{"an overflowing shape", floats(1, 1), []int64{math.MaxInt64, 2}},
		{"a class past the last", floats(4, 1), []int64{1, 2}},
		{"a negative class", floats(-1, 1), []int64{1, 2}},
		{"a class between two", floats(0.5, 1), []int64{1, 2}},
		{"a class that is no number", floats(nan, 1), []int64{1, 2}},
		{"a probability that is no number", floats(1, nan), []int64{1, 2}},
		{"a NaN among probabilities", floats(0, nan, 0, 0), []int64{1, 4}},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got, err := keys(t).Decode(row.data, row.shape); err == nil {
				t.Fatalf("read %+v", got)
			}
		})
	}
}

func TestReadKeys(t *testing.T) {
	for _, row := range []struct {
		name, file string
		classes    int
	}{
		{"with a final newline", "a\nb\n", 4},
		{"without", "a\nb", 4},
		{"with carriage returns", "a\r\nb\r\n", 4},
		{"a space of another kind is a symbol", "\u3000\nb", 4},
		{"an empty file", "", 0},
		{"an empty line inside", "a\n\nb", 0},
		{"a line without end", strings.Repeat("a", 1<<20), 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			k, err := ReadKeys(strings.NewReader(row.file))
			if row.classes == 0 {
				if err == nil {
					t.Fatal("accepted")
				}
				return
			}
			if err != nil || k.Classes() != row.classes {
				t.Fatalf("got %+v, %v; want %d classes", k, err, row.classes)
			}
		})
	}
}
