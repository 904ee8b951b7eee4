package tritonconfig

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

	"clockwork/pkg/testkit/hostile"
)

// The twin is protobuf's own reader of the text format, which names no lines of values and
// only the first problem. Its schema has the fields of Triton's that are read here and some
// that are not.

// message describes a message by lines of "name number type", where a type of another message
// begins with a capital and * stands before what may repeat.
func message(name string, fields ...string) *descriptorpb.DescriptorProto {
	m := &descriptorpb.DescriptorProto{Name: &name}
	types := map[string]descriptorpb.FieldDescriptorProto_Type{"string": descriptorpb.FieldDescriptorProto_TYPE_STRING,
		"int32": descriptorpb.FieldDescriptorProto_TYPE_INT32, "int64": descriptorpb.FieldDescriptorProto_TYPE_INT64, "bool": descriptorpb.FieldDescriptorProto_TYPE_BOOL}
	for _, text := range fields {
		var field, of string
		var number int32
		if _, err := fmt.Sscan(text, &field, &number, &of); err != nil {
			panic(err)
		}
		label := descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL
		if rest, repeated := strings.CutPrefix(of, "*"); repeated {
			label, of = descriptorpb.FieldDescriptorProto_LABEL_REPEATED, rest
		}
		f := &descriptorpb.FieldDescriptorProto{Name: &field, Number: &number, Label: &label}
		if kind, scalar := types[of]; scalar {
			f.Type = &kind
		} else if of == "DataType" {
			f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_ENUM.Enum(), proto.String(".t.DataType")
		} else {
			f.Type, f.TypeName = descriptorpb.FieldDescriptorProto_TYPE_MESSAGE.Enum(), proto.String(".t."+of)
		}
		m.Field = append(m.Field, f)
	}
	return m
}

func schema() protoreflect.MessageDescriptor {
	enum := &descriptorpb.EnumDescriptorProto{Name: proto.String("DataType")}
	for i, name := range datatypes {
		enum.Value = append(enum.Value, &descriptorpb.EnumValueDescriptorProto{Name: &name, Number: proto.Int32(int32(i))})
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{Name: proto.String("t.proto"), Package: proto.String("t"), Syntax: proto.String("proto3"),
		EnumType: []*descriptorpb.EnumDescriptorProto{enum},
		MessageType: []*descriptorpb.DescriptorProto{
			message("Shape", "shape 1 *int64"),
			message("Tensor", "name 1 string", "data_type 2 DataType", "dims 4 *int64", "reshape 5 Shape", "optional 8 bool"),
			message("Latest", "num_versions 1 int32"), message("All"), message("Specific", "versions 1 *int64"),
			message("Policy", "latest 1 Latest", "all 2 All", "specific 3 Specific"),
			message("Config", "name 1 string", "platform 2 string", "backend 17 string", "max_batch_size 4 int32", "input 5 *Tensor", "output 6 *Tensor",
				"version_policy 3 Policy", "default_model_filename 8 string"),
		}}, nil)
	if err != nil {
		panic(err)
	}
	return file.Messages().ByName("Config")
}

// twin is the canonical text of what protobuf reads, and what we read of it.
func twin(text string) (ours, theirs string, err error) {
	m := dynamicpb.NewMessage(schema())
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		return "", "", err
	}
	c, err := Parse(text)
	if err != nil {
		return "", "", nil // it is refused for what it says
	}
	get := func(m protoreflect.Message, name protoreflect.Name) protoreflect.Value {
		return m.Get(m.Descriptor().Fields().ByName(name))
	}
	shape := func(l protoreflect.List) (out []int64) {
		for i := range l.Len() {
			out = append(out, l.Get(i).Int())
		}
		return out
	}
	tensors := func(name protoreflect.Name) (out []string) {
		l := get(m, name).List()
		for i := range l.Len() {
			t := l.Get(i).Message()
			reshape := get(t, "reshape").Message()
			out = append(out, fmt.Sprintf("%q %s %v %v %v", get(t, "name").String(), datatypes[get(t, "data_type").Enum()], shape(get(t, "dims").List()), reshape.IsValid(), shape(get(reshape, "shape").List())))
		}
		return out
	}
	own := func(list []Tensor) (out []string) {
		for _, t := range list {
			out = append(out, fmt.Sprintf("%q TYPE_%s %v %v %v", t.Name, t.Datatype, t.Dims, t.Reshape != nil, t.Reshape))
		}
		return out
	}
	theirs = fmt.Sprintf("%q %d %q %v %v", get(m, "name").String(), get(m, "max_batch_size").Int(), get(m, "default_model_filename").String(), tensors("input"), tensors("output"))
	ours = fmt.Sprintf("%q %d %q %v %v", c.Name, c.MaxBatch, c.File, own(c.Inputs), own(c.Outputs))
	return ours, theirs, nil
}

// seeds are texts in every form that the format allows.
var seeds = []string{
	"", "# nothing\n", "name: 'a' \"b\"\n'c';max_batch_size:0x10,", "max_batch_size: 010", "max_batch_size: - 1",
	"name: \"\\\"\\'\\n\\101\\x41\\u00e9\\U0001F600\\?\\t\"",
	"input { name: \"x\" data_type: TYPE_FP32 dims: 3 dims: [ -1, 0x4 ] }",
	"input < name: \"x\"; data_type: 11, dims: [] dims: 1 reshape: < shape: [1] > >",
	"input: [ { name: \"x\" data_type: TYPE_INT64 dims: [1,2] } , < name: \"y\" data_type: TYPE_BOOL dims: 1 reshape { } > ]",
	"input []", "input: []", "version_policy: { all { } }", "version_policy { latest: { num_versions: 2 } }", "version_policy { specific { versions: [1, 2] } }",
	"output [ { name: \"y\" data_type: TYPE_FP16 dims: 1 optional: false } ]", "output [ { name: \"y\", }, ]", "name: \"a\",;", "input { , }",
	"name: \"a\\\n\"", "max_batch_size: 08", "max_batch_size: 1u", "max_batch_size: 1.", "max_batch_size: 0b1", "name: \"\xff\"", "name: \"\\xff\"",
}

// TestTheTextFormatIsReadAsProtobufReadsIt compares both readers.
func TestTheTextFormatIsReadAsProtobufReadsIt(t *testing.T) {
	compared := 0
	for _, text := range slices.Concat(seeds, []string{strings.NewReplacer("    format: FORMAT_NCHW\n", "", "    label_filename: \"densenet_labels.txt\"\n", "").Replace(densenet)}) {
		if ours, theirs, err := twin(text); err == nil && ours != "" {
			compared++
			if ours != theirs {
				t.Errorf("%q\nours:   %s\ntheirs: %s", text, ours, theirs)
			}
		} else if c, wrong := Parse(text); err != nil && wrong == nil {
			t.Errorf("%q: protobuf refuses it: %v; we read %+v", text, err, c)
		}
	}
	if compared < 12 {
		t.Errorf("only %d texts were compared", compared)
	}
}

func FuzzTritonConfig(f *testing.F) {
	for _, s := range append(seeds, densenet) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c *Config
		var err error
		hostile.Within(t, 1<<20+600*len(text), "a configuration", func() { c, err = Parse(text) })
		if problems := Problems(err); err != nil && (len(problems) == 0 || len(problems) > maxProblems+1) {
			t.Fatalf("%d problems: %v", len(problems), err)
		}
		for _, p := range Problems(err) {
			if p.Line < 1 || p.Line > 1+strings.Count(text, "\n") || len(p.Text) > 4<<10 {
				t.Fatalf("a problem in line %d of %d: %.200s", p.Line, 1+strings.Count(text, "\n"), p.Text)
			}
		}
		if c != nil && (c.MaxBatch < 0 || c.MaxBatch > maxBatchLimit || len(c.Inputs) > maxTensors || c.Versions.Latest > math.MaxInt32) {
			t.Fatalf("%+v", c)
		}
		if ours, theirs, err := twin(text); err == nil && ours != theirs {
			t.Fatalf("%q\nours:   %s\ntheirs: %s", text, ours, theirs)
		}
	})
}
