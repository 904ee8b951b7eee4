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
			config{maxBatch: 4, inputs: map[string][]int64{"x": {3, 48, 192}, "y": {}}, head: "argmax"}, ""},
		{"no inputs", "inputs: {}", config{maxBatch: 16, inputs: map[string][]int64{}}, ""},
		{"inputs that end in a comma", "inputs: {x: [1],}", config{maxBatch: 16, inputs: map[string][]int64{"x": {1}}}, ""},
		{"unknown key", "max_batch: 1\nspeed: 3", config{}, `line 2: unknown key "speed"`},
		{"key twice", "max_batch: 1\nmax_batch: 2", config{}, "line 2"},
		{"no colon", "max_batch", config{}, "has the keys max_batch, inputs and head"},
		{"zero batch", "max_batch: 0", config{}, "max_batch must be 1 to 1024"},
		{"huge batch", "max_batch: 1025", config{}, "max_batch must be 1 to 1024"},
		{"batch that is no number", "max_batch: many", config{}, `"many"`},
		{"batch that overflows", "max_batch: 99999999999999999999", config{}, "max_batch must be"},
		{"unknown head", "head: softmax", config{}, `head must be "argmax"`},
		{"inputs as a list", "inputs: [x]", config{}, "expected {name: [1, 2], ...}"},
		{"inputs left open", "inputs: {x: [1, 2}", config{}, "line 1: did not find"},
		{"input without a name", "inputs: {: [1]}", config{}, "line 1: did not find"},
		{"input with an empty name", "inputs: {\"\": [1]}", config{}, "expected {name"},
		{"input twice", "inputs: {x: [1], x: [2]}", config{}, `"x" stands twice`},
		{"inputs without a comma", "inputs: {x: [1] y: [2]}", config{}, "line 1: did not find"},
		{"dimension of zero", "inputs: {x: [0]}", config{}, "dimensions are positive"},
		{"negative dimension", "inputs: {x: [-1]}", config{}, "dimensions are positive"},
		{"dimension that is no number", "inputs: {x: [N]}", config{}, "dimensions are positive"},
		{"dimension that overflows", "inputs: {x: [4294967296]}", config{}, "dimensions are positive"},
		{"too many dimensions", deep, config{}, "dimensions are positive"},
		{"blocks", "inputs:\n  x: [1]\n  y:\n  - 2\n  - 3\nhead: 'argmax'\n", config{maxBatch: 16, inputs: map[string][]int64{"x": {1}, "y": {2, 3}}, head: "argmax"}, ""},
		{"a document that begins", "---\nmax_batch: 2\n", config{maxBatch: 2}, ""},
		{"two documents", "max_batch: 2\n---\nmax_batch: 3\n", config{}, "more than one document"},
		{"an alias", "max_batch: 1\ninputs: {x: &a [1], y: *a}", config{}, "line 2: expected {name"},
		{"aliases that multiply", "a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n", config{}, "line 1: a model.yaml has"},
		{"an alias of itself", "inputs: &a {x: *a}", config{}, "line 1: a model.yaml has"},
		{"a merged mapping", "max_batch: 1\n<<: {head: argmax}", config{}, `line 2: unknown key "<<"`},
		{"a tag", "head: !!python/object argmax", config{}, "line 1: a model.yaml has"},
		{"an anchor without an alias", "max_batch: &a 1", config{}, "line 1: a model.yaml has"},
		{"a mapping as a key", "? {a: b}\n: 1", config{}, "line 1: a model.yaml has"},
		{"a control character", "max_batch: 1\n\x01", config{}, "line 2: control characters are not allowed"},
		{"a list as a batch", "max_batch: [8]", config{}, "max_batch must be"},
		{"nested as deep as it is long", strings.Repeat("[", maxConfig), config{}, "line 1: "},
	}
	for _, test := range tests {
		got, refusal := parseConfig(test.text, nil)
		if test.wrong != "" {
			if refusal == nil || refusal.Code != protocol.ModelCorrupt || !strings.Contains(refusal.Message, test.wrong) {
				t.Errorf("%s: got %v, expected MODEL_CORRUPT with %q", test.name, refusal, test.wrong)
			}
			continue
		}
		if refusal != nil || !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: got %+v, %v; expected %+v", test.name, got, refusal, test.want)
		}
	}
}
