package tritonconfig

import (
	"math"
	"strings"

	"clockwork/pkg/protocol"
)

// maxBatchLimit is the largest max_batch_size, maxTensors how many inputs or outputs there
// may be, maxRank how many dimensions one has.
const (
	maxBatchLimit = 1024
	maxTensors    = 256
	maxRank       = 64
)

// Parse reads the text of a config.pbtxt. The error has Problems, all that were found.
func Parse(text string) (*Config, error) {
	list, err := parse(text)
	if err != nil {
		return nil, err
	}
	r, c := &reader{noted: map[string]bool{}}, &Config{}
	r.fields("a model configuration", list, r.modelRules(c))
	if err := r.err(); err != nil {
		return nil, err
	}
	c.Notes = r.notes
	return c, nil
}

// modelRules are the fields of Triton's ModelConfig.
func (r *reader) modelRules(c *Config) map[string]rule {
	return map[string]rule{
		"name":                   once(func(f *field) { c.Name, c.nameLine = r.text(f), f.line }),
		"platform":               once(func(f *field) { r.engine(f, "onnxruntime_onnx") }),
		"backend":                once(func(f *field) { r.engine(f, "onnxruntime") }),
		"max_batch_size":         once(func(f *field) { c.MaxBatch = r.batch(f) }),
		"input":                  many(func(f *field) { c.Inputs = r.tensor(c.Inputs, f, r.inputRules) }),
		"output":                 many(func(f *field) { c.Outputs = r.tensor(c.Outputs, f, r.outputRules) }),
		"version_policy":         once(func(f *field) { c.Versions = r.policy(f) }),
		"default_model_filename": once(func(f *field) { c.File = r.fileName(f) }),

		"instance_group":     r.ignored("each GPU executes one batch at a time, and copies of a model are loaded where requests need them"),
		"dynamic_batching":   r.ignored("batches are planned from measured times and the requests' deadlines"),
		"optimization":       r.ignored("ONNX Runtime optimises every graph when it is loaded"),
		"parameters":         r.ignored("the settings of ONNX Runtime are those for predictable times"),
		"model_warmup":       r.ignored("every batch size is run and measured before the model is served"),
		"response_cache":     r.ignored("every request is executed"),
		"metric_tags":        nothing,
		"model_metrics":      r.ignored("the metrics of Clockwork are the same for all models"),
		"cc_model_filenames": r.ignored("they are for kinds of GPU that Clockwork does not use"),
		"runtime":            nothing,

		"sequence_batching":       r.refused("sequences are not offered: each request stands alone"),
		"ensemble_scheduling":     r.refused("ensembles are not offered: load their models, and let the client call one after the other"),
		"batch_input":             r.refused("ragged batches are not offered"),
		"batch_output":            r.refused("ragged batches are not offered"),
		"model_operations":        r.refused("libraries of own operators are not loaded"),
		"model_repository_agents": r.refused("repository agents are not run"),
		"model_transaction_policy": once(func(f *field) {
			r.fields(f.name, r.message(f), map[string]rule{"decoupled": r.mustBeFalse("each request has one answer")})
		}),
	}
}

// engine reads which engine runs the model: only ONNX models are read.
func (r *reader) engine(f *field, onnx string) {
	if engine := r.text(f); engine != onnx && engine != "" && !f.message {
		r.problem(f.line, "%s is %.80q, and only %q is served: export the model as ONNX", f.name, engine, onnx)
	}
}

func (r *reader) batch(f *field) int {
	return int(r.integer(f, 0, maxBatchLimit))
}

// fileName reads the name of the model's file in the directory of a version.
func (r *reader) fileName(f *field) string {
	name := r.text(f)
	if strings.ContainsAny(name, "/\x00") || name == ".." || name == "." || len(name) > 255 {
		r.problem(f.line, "%s is %.80q; it must be the name of a file", f.name, name)
	}
	return name
}

// mustBeFalse is a flag of something that is not offered.
func (r *reader) mustBeFalse(why string) rule {
	return once(func(f *field) {
		if r.flag(f) {
			r.problem(f.line, "%s: %s", f.name, why)
		}
	})
}

// tensor reads an input or output, and appends it.
func (r *reader) tensor(list []Tensor, f *field, more func() map[string]rule) []Tensor {
	t := Tensor{Line: f.line}
	rules := more()
	typed, shaped := false, false
	rules["name"] = once(func(f *field) { t.Name = r.text(f) })
	rules["data_type"] = once(func(f *field) { t.Datatype, typed = r.datatype(f), true })
	rules["dims"] = many(func(f *field) { t.Dims, shaped = r.dimension(t.Dims, f), true })
	rules["reshape"] = once(func(f *field) { t.Reshape = r.reshape(f) })
	rules["is_shape_tensor"] = r.mustBeFalse("shape tensors are TensorRT's")
	rules["is_non_linear_format_io"] = r.mustBeFalse("tensors are linear")
	before := len(r.problems)
	r.fields(f.name, r.message(f), rules)
	if len(r.problems) > before {
		return list // which may be why something is missing
	}
	switch {
	case t.Name == "":
		r.problem(f.line, "%s has no name", f.name)
	case !typed:
		r.problem(f.line, "%s %.80q has no data_type", f.name, t.Name)
	case !shaped:
		r.problem(f.line, "%s %.80q has no dims", f.name, t.Name)
	case len(list) >= maxTensors:
		r.problem(f.line, "there are more than %d of %s", maxTensors, f.name)
	case t.Reshape != nil && !sameElements(t.Dims, t.Reshape):
		r.problem(f.line, "%s %.80q: dims %s and reshape %s must be of the same number of elements, without -1", f.name, t.Name, protocol.ShapeString(t.Dims), protocol.ShapeString(t.Reshape))
	default:
		for _, other := range list {
			if other.Name == t.Name {
				r.problem(f.line, "%s %.80q stands twice, first in line %d", f.name, t.Name, other.Line)
			}
		}
		return append(list, t)
	}
	return list
}

func (r *reader) inputRules() map[string]rule {
	return map[string]rule{
		"format":             nothing, // it says what dims say
		"allow_ragged_batch": r.mustBeFalse("ragged batches are not offered"),
		"optional":           r.mustBeFalse("every input has to be sent"),
	}
}

func (r *reader) outputRules() map[string]rule {
	return map[string]rule{"label_filename": r.ignored("classification is not offered: outputs are sent as numbers")}
}

func sameElements(a, b []int64) bool {
	n := protocol.Elements(a)
	return n >= 0 && n == protocol.Elements(b)
}

// dimension appends a dimension; -1 is open.
func (r *reader) dimension(list []int64, f *field) []int64 {
	n := r.integer(f, -1, math.MaxInt32)
	if n == 0 && !f.message && f.text == "0" {
		r.problem(f.line, "%s must be positive, or -1 for any", f.name)
	}
	if len(list) >= maxRank {
		if len(list) == maxRank {
			r.problem(f.line, "there are more than %d %s", maxRank, f.name)
		}
		return list
	}
	return append(list, n)
}

func (r *reader) reshape(f *field) []int64 {
	shape := []int64{}
	r.fields(f.name, r.message(f), map[string]rule{"shape": many(func(f *field) { shape = r.dimension(shape, f) })})
	return shape
}

// datatypes are the values of Triton's DataType by number.
var datatypes = []string{"TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_UINT16", "TYPE_UINT32", "TYPE_UINT64",
	"TYPE_INT8", "TYPE_INT16", "TYPE_INT32", "TYPE_INT64", "TYPE_FP16", "TYPE_FP32", "TYPE_FP64", "TYPE_STRING", "TYPE_BF16"}

func (r *reader) datatype(f *field) protocol.DataType {
	if !r.scalar(f, "a type such as TYPE_FP32") {
		return ""
	}
	name := f.text
	if n, err := parseInteger(name); err == nil && n >= 0 && n < int64(len(datatypes)) && !f.quoted {
		name = datatypes[n]
	}
	datatype := protocol.DataType(strings.TrimPrefix(name, "TYPE_"))
	switch {
	case name == "TYPE_STRING":
		r.problem(f.line, "%s is TYPE_STRING: models with strings (BYTES) are not served; do what makes numbers of them in the client", f.name)
	case name == "TYPE_BF16":
		r.problem(f.line, "%s is TYPE_BF16, which is not served; export the model with FP16 or FP32", f.name)
	case f.quoted || !strings.HasPrefix(name, "TYPE_") || datatype.Size() == 0:
		r.problem(f.line, "%s is %.80q, which is no type; types are TYPE_FP32, TYPE_INT64 and so on", f.name, f.text)
	}
	return datatype
}

// policy reads which versions are served.
func (r *reader) policy(f *field) Policy {
	p := Policy{}
	choices := 0
	r.fields(f.name, r.message(f), map[string]rule{
		"latest": once(func(f *field) {
			choices, p.Latest = choices+1, 1
			r.fields(f.name, r.message(f), map[string]rule{"num_versions": once(func(f *field) { p.Latest = int(r.integer(f, 1, math.MaxInt32)) })})
		}),
		"all": once(func(f *field) {
			choices, p.All = choices+1, true
			r.fields(f.name, r.message(f), map[string]rule{})
		}),
		"specific": once(func(f *field) {
			choices, p.Specific = choices+1, []int{}
			r.fields(f.name, r.message(f), map[string]rule{"versions": many(func(f *field) {
				p.Specific = append(p.Specific, int(r.integer(f, 1, math.MaxInt32)))
			})})
		}),
	})
	if choices > 1 {
		r.problem(f.line, "%s is one of latest, all and specific", f.name)
	}
	return p
}
