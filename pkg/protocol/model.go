package protocol

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// BatchSizes are the batch sizes that are profiled, as far as a model allows.
var BatchSizes = []int{1, 2, 4, 8, 16}

// ModelSpec describes a loaded model: everything but its weights. Copies differ only in
// Name.
type ModelSpec struct {
	Name string `json:"name"`
	// Path is LoadModelFromDisk's argument: relative to the model directory, or
	// zoo/<name> for an emulated model.
	Path string `json:"path"`
	// Version is the version of the files that were loaded: the path's, or the highest at
	// the time of the load if the path names none. 0 for models without versions.
	Version int `json:"version,omitempty"`
	// Digest is of the loaded file, in hex, and after a "-" of the configuration that was set
	// beside it, if one was; equal digests mean equal behaviour.
	Digest         string       `json:"digest"`
	Backend        string       `json:"backend"`
	BackendVersion string       `json:"backend_version"`
	Inputs         []TensorSpec `json:"input"`
	Outputs        []TensorSpec `json:"output"`
	// BatchSizes are the compiled (profiled) sizes, ascending, always including 1.
	// AnyBatch: every size up to the largest runs without padding.
	BatchSizes []int `json:"batch_sizes"`
	AnyBatch   bool  `json:"any_batch"`
	// Mixes: its answer to an item depends on the other items of the batch, so it runs
	// at batch 1 only.
	Mixes bool `json:"mixes_batch,omitempty"`
	// NoBatch: the tensors of clients have no batch dimension, and a request is one item; the
	// only batch size is 1.
	NoBatch bool `json:"no_batch,omitempty"`
	// Notes say what of the model's configuration changes nothing here, and why.
	Notes []string `json:"notes,omitempty"`
	// WeightsBytes is the size of the weights; Pages is how many of the worker's pages
	// they take, which depends on the size of its pages (WorkerState.SpecOf).
	WeightsBytes int64 `json:"weights_bytes"`
	Pages        int   `json:"pages"`
}

// PagesFor returns how many pages weights take, at least one; both sizes are in bytes and
// positive.
func PagesFor(weights, page int64) int { return int(max(1, (weights-1)/page+1)) }

// MaxBatch returns the largest batch size, 0 for a model without any.
func (m *ModelSpec) MaxBatch() int {
	if len(m.BatchSizes) == 0 {
		return 0
	}
	return m.BatchSizes[len(m.BatchSizes)-1]
}

// Shape returns the shape of one of its tensors for a number of items, as clients send and get
// it.
func (m *ModelSpec) Shape(of TensorSpec, items int) []int64 {
	if m.NoBatch {
		return append([]int64{}, of.Shape...)
	}
	return append([]int64{int64(items)}, of.Shape...)
}

// Runs reports whether the model runs at this batch size without padding.
func (m *ModelSpec) Runs(batch int) bool {
	if m.AnyBatch {
		return batch >= 1 && batch <= m.MaxBatch()
	}
	return slices.Contains(m.BatchSizes, batch)
}

// Fits returns the smallest size at which n items can run, 0 if none.
func (m *ModelSpec) Fits(n int) int {
	if n < 1 {
		return 0
	}
	i := slices.IndexFunc(m.BatchSizes, func(b int) bool { return b >= n })
	switch {
	case i < 0:
		return 0
	case m.AnyBatch:
		return n
	}
	return m.BatchSizes[i]
}

// Differs says in what m differs from the model of another holder, except for the name; ""
// if in nothing.
func (m *ModelSpec) Differs(from *ModelSpec) string {
	switch {
	case m.Path != from.Path || m.Version != from.Version && m.Version*from.Version != 0:
		return fmt.Sprintf("it is %s, not %s", m.Files(), from.Files())
	case m.Digest != from.Digest:
		return DigestsDiffer(m.Digest, from.Digest)
	case m.Backend != from.Backend || m.BackendVersion != from.BackendVersion:
		return fmt.Sprintf("its backend is %s %s, not %s %s", m.Backend, m.BackendVersion, from.Backend, from.BackendVersion)
	case m.NoBatch != from.NoBatch:
		return fmt.Sprintf("its tensors have %s, not %s", m.batchText(), from.batchText())
	case !slices.Equal(m.BatchSizes, from.BatchSizes) || m.AnyBatch != from.AnyBatch:
		return fmt.Sprintf("its batch sizes are %v, not %v", m.BatchSizes, from.BatchSizes)
	case !slices.EqualFunc(m.Inputs, from.Inputs, TensorSpec.Equal) || !slices.EqualFunc(m.Outputs, from.Outputs, TensorSpec.Equal):
		return fmt.Sprintf("it takes %v and gives %v, not %v and %v", m.Inputs, m.Outputs, from.Inputs, from.Outputs)
	case m.Pages != from.Pages:
		return fmt.Sprintf("it takes %d pages, not %d", m.Pages, from.Pages)
	}
	return ""
}

func (m *ModelSpec) batchText() string {
	if m.NoBatch {
		return "no batch dimension"
	}
	return "a batch dimension"
}

// SameFile reports whether two digests are of the same file, with whatever configuration.
func SameFile(a, b string) bool {
	a, _, _ = strings.Cut(a, "-")
	b, _, _ = strings.Cut(b, "-")
	return a == b
}

// DigestsDiffer says in what two different digests of a model differ.
func DigestsDiffer(digest, from string) string {
	if !SameFile(digest, from) {
		return fmt.Sprintf("its digest is %.12s, not %.12s", digest, from)
	}
	_, is, _ := strings.Cut(digest, "-")
	_, was, _ := strings.Cut(from, "-")
	switch {
	case was == "":
		return "the model has a configuration, and had none"
	case is == "":
		return "the model has no configuration, and had one"
	}
	return "the model's configuration is another"
}

// Files names the files that were loaded: the path, with the version if there is one.
func (m *ModelSpec) Files() string {
	if m.Version == 0 || strings.HasSuffix(m.Path, "/"+strconv.Itoa(m.Version)) {
		return m.Path
	}
	return m.Path + "/" + strconv.Itoa(m.Version)
}

// ItemBytes returns the bytes of one item over all inputs.
func (m *ModelSpec) ItemBytes() int64 { return itemBytes(m.Inputs) }

// OutputBytes returns the bytes of one item over all outputs.
func (m *ModelSpec) OutputBytes() int64 { return itemBytes(m.Outputs) }

func itemBytes(specs []TensorSpec) int64 {
	n := int64(0)
	for _, s := range specs {
		n += s.Bytes()
	}
	return n
}

// Measurement summarises the measured durations of one kind of action.
type Measurement struct {
	Samples int           `json:"samples"`
	Min     time.Duration `json:"min_ns"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Max     time.Duration `json:"max_ns"`
}

// MaxMeasured is the longest plausible duration of an action; a longer one makes a
// measurement invalid.
const MaxMeasured = time.Hour

// Valid reports whether m can be planned with: it has samples, and they are positive,
// ordered and at most MaxMeasured.
func (m Measurement) Valid() bool {
	return m.Samples > 0 && m.Min > 0 && m.Min <= m.P50 && m.P50 <= m.P99 && m.P99 <= m.Max && m.Max <= MaxMeasured
}

// BatchMeasurement is the Measurement of Infer at one batch size.
type BatchMeasurement struct {
	Batch int `json:"batch"`
	Measurement
}

// Profile holds the measured durations of one model on one type of GPU. (Digest,
// Backend, BackendVersion, GPUType) is its key: a profile whose key matches is reused.
type Profile struct {
	Digest         string `json:"digest"`
	Backend        string `json:"backend"`
	BackendVersion string `json:"backend_version"`
	GPUType        string `json:"gpu_type"`

	LoadWeights Measurement `json:"load_weights"`
	// Infer is ordered by batch size.
	Infer []BatchMeasurement `json:"infer"`
}

// Matches reports whether p was measured for this model on this type of GPU.
func (p Profile) Matches(m ModelSpec, gpuType string) bool {
	return p.Key() == ProfileKey{m.Digest, gpuType, m.Backend, m.BackendVersion}
}

// ProfileKey is what a profile was measured for: one profile replaces another with the same key.
type ProfileKey struct{ Digest, GPUType, Backend, BackendVersion string }

// Key returns what p was measured for.
func (p Profile) Key() ProfileKey {
	return ProfileKey{p.Digest, p.GPUType, p.Backend, p.BackendVersion}
}

// At returns the measurement of a batch size.
func (p Profile) At(batch int) (Measurement, bool) {
	for _, b := range p.Infer {
		if b.Batch == batch {
			return b.Measurement, true
		}
	}
	return Measurement{}, false
}

// Interpolated returns p's duration for a batch size; `of` selects which number. Between
// two measured sizes it interpolates linearly; below the first or above the last it
// returns the value of that one. All predictions from profiles use this function.
func (p *Profile) Interpolated(batch int, of func(*Measurement) time.Duration) time.Duration {
	var low *BatchMeasurement
	for i := range p.Infer {
		high := &p.Infer[i]
		if high.Batch == batch || high.Batch > batch && low == nil {
			return of(&high.Measurement)
		}
		if high.Batch > batch {
			part := float64(batch-low.Batch) / float64(high.Batch-low.Batch)
			from := of(&low.Measurement)
			return from + time.Duration(part*float64(of(&high.Measurement)-from))
		}
		low = high
	}
	if low == nil {
		return 0
	}
	return of(&low.Measurement)
}

// P99Of and P50Of select a number for Interpolated.
func P99Of(m *Measurement) time.Duration { return m.P99 }
func P50Of(m *Measurement) time.Duration { return m.P50 }

// Complete reports whether p holds a valid measurement of the weight transfer and of
// every batch size of m.
func (p Profile) Complete(m ModelSpec) bool {
	if !p.LoadWeights.Valid() {
		return false
	}
	for _, b := range m.BatchSizes {
		if at, ok := p.At(b); !ok || !at.Valid() {
			return false
		}
	}
	return true
}
