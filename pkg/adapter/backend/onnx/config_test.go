package onnx

import (
	"reflect"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
)

func TestModelYAML(t *testing.T) {
	deep := "inputs: {x: [" + strings.Repeat("1, ", maxRank) + "1]}"
	tests := []struct {
		name, text string
		want       config
		wrong      string // part of the error, "" for none
	}{
		{"empty", "", config{maxBatch: 16}, ""},
		{"comments and blanks", "# a model\n\n   \nmax_batch: 8 # items\r\n", config{maxBatch: 8}, ""},
		{"everything", "max_batch: 4\ninputs: {x: [3, 48, 192], \"y\": []}\nhead: argmax\n",
			config{4, map[string][]int64{"x": {3, 48, 192}, "y": {}}, "argmax"}, ""},
		{"no inputs", "inputs: {}", config{16, map[string][]int64{}, ""}, ""},
		{"inputs that end in a comma", "inputs: {x: [1],}", config{16, map[string][]int64{"x": {1}}, ""}, ""},
		{"unknown key", "max_batch: 1\nspeed: 3", config{}, `line 2: unknown key "speed"`},
		{"key twice", "max_batch: 1\nmax_batch: 2", config{}, "line 2"},
		{"no colon", "max_batch", config{}, "max_batch must be"},
		{"zero batch", "max_batch: 0", config{}, "max_batch must be 1 to 1024"},
		{"huge batch", "max_batch: 1025", config{}, "max_batch must be 1 to 1024"},
		{"batch that is no number", "max_batch: many", config{}, `"many"`},
		{"batch that overflows", "max_batch: 99999999999999999999", config{}, "max_batch must be"},
		{"unknown head", "head: softmax", config{}, `head must be "argmax"`},
		{"inputs as a list", "inputs: [x]", config{}, "expected {name: [1, 2], ...}"},
		{"inputs left open", "inputs: {x: [1, 2}", config{}, "expected {name"},
		{"input without a name", "inputs: {: [1]}", config{}, "expected {name"},
		{"input twice", "inputs: {x: [1], x: [2]}", config{}, "expected {name"},
		{"inputs without a comma", "inputs: {x: [1] y: [2]}", config{}, "expected {name"},
		{"dimension of zero", "inputs: {x: [0]}", config{}, "dimensions are positive"},
		{"negative dimension", "inputs: {x: [-1]}", config{}, "dimensions are positive"},
		{"dimension that is no number", "inputs: {x: [N]}", config{}, "dimensions are positive"},
		{"dimension that overflows", "inputs: {x: [4294967296]}", config{}, "dimensions are positive"},
		{"too many dimensions", deep, config{}, "dimensions are positive"},
		{"real YAML", "inputs:\n  x: [1]\n", config{}, "expected {name"},
	}
	for _, test := range tests {
		got, err := parseConfig(test.text)
		if test.wrong != "" {
			if err == nil || err.Code != protocol.ModelCorrupt || !strings.Contains(err.Message, test.wrong) {
				t.Errorf("%s: got %v, expected MODEL_CORRUPT with %q", test.name, err, test.wrong)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v; expected %+v", test.name, got, err, test.want)
		}
	}
}
