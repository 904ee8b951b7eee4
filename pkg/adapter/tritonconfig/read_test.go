package tritonconfig

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
)

// densenet is the configuration of the model in Triton's own quick start.
const densenet = `name: "densenet_onnx"
platform: "onnxruntime_onnx"
max_batch_size : 0
input [
  {
    name: "data_0"
    data_type: TYPE_FP32
    format: FORMAT_NCHW
    dims: [ 3, 224, 224 ]
    reshape { shape: [ 1, 3, 224, 224 ] }
  }
]
output [
  {
    name: "fc6_1"
    data_type: TYPE_FP32
    dims: [ 1000 ]
    reshape { shape: [ 1, 1000, 1, 1 ] }
    label_filename: "densenet_labels.txt"
  }
]
`

func TestTheConfigurationOfTritonsQuickStart(t *testing.T) {
	got, err := Parse(densenet)
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{Name: "densenet_onnx", nameLine: 1,
		Inputs:  []Tensor{{Name: "data_0", Datatype: protocol.FP32, Dims: []int64{3, 224, 224}, Reshape: []int64{1, 3, 224, 224}, Line: 5}},
		Outputs: []Tensor{{Name: "fc6_1", Datatype: protocol.FP32, Dims: []int64{1000}, Reshape: []int64{1, 1000, 1, 1}, Line: 14}},
		Notes:   []string{"line 19: label_filename is not needed: classification is not offered: outputs are sent as numbers"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestWhatIsNotNeededIsNotedAndWhy(t *testing.T) {
	got, err := Parse(`
backend: "onnxruntime"  max_batch_size: 8  # two fields, one line
instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1 ] }, { count: 1, kind: KIND_CPU } ]
dynamic_batching { preferred_batch_size: [ 4, 8 ] max_queue_delay_microseconds: 100 }
optimization { graph { level: 1 } execution_accelerators { gpu_execution_accelerator: [ { name: "tensorrt" } ] } }
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
parameters { key: "x" value { string_value: 'two' "strings" } }
model_warmup [ { name: "zero" batch_size: 1 inputs { key: "x" value { data_type: TYPE_FP32 dims: 3 zero_data: true } } } ]
response_cache { enable: true }
model_transaction_policy { decoupled: false }
version_policy: { specific { versions: [ 1, 3 ] } }
default_model_filename: "net.onnx"
`)
	if err != nil {
		t.Fatal(err)
	}
	var fields []string
	for _, n := range got.Notes {
		if !strings.Contains(n, " is not needed: ") {
			t.Error(n)
		}
		fields = append(fields, strings.Join(strings.Fields(n)[1:3], " "))
	}
	if want := []string{"3: instance_group", "4: dynamic_batching", "5: optimization", "6: parameters", "8: model_warmup", "9: response_cache"}; !slices.Equal(fields, want) {
		t.Errorf("notes of %q, want %q", fields, want)
	}
	if got.MaxBatch != 8 || got.File != "net.onnx" || !slices.Equal(got.Versions.Specific, []int{1, 3}) {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsNotUnderstoodIsSaidByLine(t *testing.T) {
	tensor := func(inside string) string { return "input {\n name: \"x\" data_type: TYPE_FP32\n " + inside + "\n}" }
	for _, c := range []struct{ text, want string }{
		{"nome: \"x\"", `line 1: a model configuration has no field "nome"`},
		{"name: \"a\"\nname: \"b\"", "line 2: name stands twice, first in line 1"},
		{"name: x", "line 1: name must be a string in quotes"},
		{"name { }", "line 1: name must be a string in quotes"},
		{"platform: \"tensorrt_plan\"", `line 1: platform is "tensorrt_plan", and only "onnxruntime_onnx" is served`},
		{"backend: \"python\"", `only "onnxruntime" is served`},
		{"max_batch_size: -1", "must be a number from 0 to 1024"},
		{"max_batch_size: 1025", "must be a number from 0 to 1024"},
		{"max_batch_size: 99999999999999999999", "must be a number from 0 to 1024"},
		{"max_batch_size: \"8\"", "must be a number"},
		{"max_batch_size: 1_0", "must be a number"},
		{"max_batch_size: 8.0", "must be a number"},
		{"input: 3", "line 1: input must be a message"},
		{"input { dims: 1 data_type: TYPE_FP32 }", "line 1: input has no name"},
		{"input { name: \"x\" dims: 1 }", `line 1: input "x" has no data_type`},
		{"input { name: \"x\" data_type: TYPE_FP32 }", `line 1: input "x" has no dims`},
		{tensor("dims: 0"), "line 3: dims must be positive, or -1 for any"},
		{tensor("dims: -2"), "line 3: dims must be a number from -1"},
		{tensor("dims: [ 3, x ]"), "line 3: dims must be a number"},
		{tensor("dims: [ 4 ] reshape { shape: [ 2, 3 ] }"), "dims [4] and reshape [2,3] must be of the same number of elements"},
		{tensor("dims: [ -1 ] reshape { shape: [ -1, 1 ] }"), "without -1"},
		{tensor("dims: 1 allow_ragged_batch: true"), "line 3: allow_ragged_batch: ragged batches are not offered"},
		{tensor("dims: 1 optional: true"), "line 3: optional: every input has to be sent"},
		{tensor("dims: 1 optional: yes"), "line 3: optional must be true or false"},
		{tensor("dims: 1 shape: 3"), `line 3: input has no field "shape"`},
		{tensor("dims: [" + strings.Repeat("1, ", maxRank) + "1]"), "more than 64 dims"},
		{tensor("dims: 1") + tensor("dims: 2"), `line 4: input "x" stands twice, first in line 1`},
		{"output { name: \"y\" data_type: TYPE_STRING dims: 1 }", "models with strings (BYTES) are not served"},
		{"output { name: \"y\" data_type: 14 dims: 1 }", "TYPE_BF16, which is not served"},
		{"output { name: \"y\" data_type: TYPE_FP8 dims: 1 }", `"TYPE_FP8", which is no type`},
		{"output { name: \"y\" data_type: 15 dims: 1 }", `"15", which is no type`},
		{"version_policy { latest { num_versions: 0 } }", "num_versions must be a number from 1"},
		{"version_policy { all { } latest { } }", "one of latest, all and specific"},
		{"version_policy { specific { versions: [ 0 ] } }", "versions must be a number from 1"},
		{"default_model_filename: \"../secret\"", "must be the name of a file"},
		{"default_model_filename: \"..\"", "must be the name of a file"},
		{"ensemble_scheduling { step [ { model_name: \"a\" } ] }", "ensembles are not offered"},
		{"sequence_batching { }", "sequences are not offered"},
		{"model_transaction_policy { decoupled: true }", "each request has one answer"},
		{"model_operations { op_library_filename: \"x.so\" }", "libraries of own operators are not loaded"},
		{"name \"x\"", `line 1: expected a colon or { after name, found the string "x"`},
		{"name: \"x", "line 1: the string is not closed"},
		{"name: \"x\n\"", "line 1: the string is not closed in its line"},
		{"name: \"\\q\"", "line 1: unknown escape"},
		{"name: \"\\xg\"", "line 1: unknown escape"},
		{"input {\n", "line 2: expected the name of a field, found the end of the file"},
		{"input [ {} 3 ]", "line 1: expected a comma or ]"},
		{"dims: [ 1, { } ]", "holds messages and other values"},
		{"}", `line 1: expected the name of a field, found "}"`},
		{"name: ", "line 1: expected a value of name, found the end of the file"},
		{"\n\n\x00", "line 3: unexpected character"},
		{"[a.b]: 3", "expected the name of a field"},
		{strings.Repeat("optimization {", maxDepth+2), "messages nest deeper than 32"},
		{strings.Repeat("#", MaxText+1), "at most 65536 are read"},
	} {
		got, err := Parse(c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.80q: %+v, %v\nwant %q", c.text, got, err, c.want)
		}
	}
}

func TestAllProblemsAreNamedAtOnce(t *testing.T) {
	_, err := Parse("platform: \"pytorch_libtorch\"\nmax_batch_size: -4\nspeed: 3\ninput { name: \"x\" data_type: TYPE_STRING dims: 1 }\n")
	var lines []int
	for _, p := range Problems(err) {
		lines = append(lines, p.Line)
	}
	if !slices.Equal(lines, []int{1, 2, 3, 4}) {
		t.Errorf("problems in lines %v: %v", lines, err)
	}
	if _, err = Parse(strings.Repeat("speed: 1\n", 1000)); len(Problems(err)) != maxProblems+1 {
		t.Errorf("%d problems", len(Problems(err)))
	}
}

func TestVersionPolicies(t *testing.T) {
	have := []int{1, 3, 2, 10}
	for _, c := range []struct {
		policy Policy
		want   []int
	}{
		{Policy{}, []int{10}}, {Policy{Latest: 1}, []int{10}}, {Policy{Latest: 3}, []int{10, 3, 2}}, {Policy{Latest: 99}, []int{10, 3, 2, 1}},
		{Policy{All: true}, []int{10, 3, 2, 1}}, {Policy{Specific: []int{1, 2, 7}}, []int{2, 1}}, {Policy{Specific: []int{7}}, []int{}}, {Policy{Specific: []int{}}, []int{}},
	} {
		if got := c.policy.Served(have); !slices.Equal(got, c.want) {
			t.Errorf("%+v serves %v, want %v", c.policy, got, c.want)
		}
	}
	if !slices.Equal(have, []int{1, 3, 2, 10}) {
		t.Error("the versions were sorted in place")
	}
}

func TestTheNameIsTheDirectorys(t *testing.T) {
	c, err := Parse("\nname: \"a\"")
	if err != nil || c.CheckName("a") != nil {
		t.Fatal(err, c.CheckName("a"))
	}
	if err := c.CheckName("b"); err == nil || err.Error() != `line 2: name is "a", and the directory is called "b": they must be equal` {
		t.Error(err)
	}
	if err := (&Config{}).CheckName("b"); err != nil {
		t.Error(err)
	}
}
