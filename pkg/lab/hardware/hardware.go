// Package hardware is what a live stack was measured to do, for the simulator: each model's
// profile, what its executions took, and what messages took. clockwork profiles export writes
// it as JSON, from the profiles that the controller keeps and from an action log; clockwork
// sim --hardware takes it in place of the zoo's times.
//
// A file comes from elsewhere: Read bounds its size and checks every number. It is pure, but
// for reading.
package hardware

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/protocol"
)

// Format is the version of the file.
const Format = 1

// The bounds of a file.
const (
	MaxBytes  = 64 << 20
	MaxModels = 1 << 16
	// maxSizes bounds the batch sizes of a model, maxTensor the bytes of one item's inputs,
	// outputs, and of weights.
	maxSizes  = 64
	maxTensor = 1 << 40
)

// Hardware is the measurements of one stack.
type Hardware struct {
	Format int    `json:"format"`
	Models Models `json:"models"`
	// ToWorker and FromWorker are what messages took to a worker and from it; nil if that is
	// not known.
	ToWorker   Quantiles `json:"to_worker_ns,omitempty"`
	FromWorker Quantiles `json:"from_worker_ns,omitempty"`
}

// Model is one model's measurements on one type of GPU.
type Model struct {
	// Path is by which workloads name it: that of a model of the zoo.
	Path string `json:"path"`
	// Input and Output are the bytes of one item, Weights those of the weights.
	Input   int64 `json:"input_bytes"`
	Output  int64 `json:"output_bytes"`
	Weights int64 `json:"weights_bytes"`
	// Load is what the profiler measured of transfers of the weights, Infer of executions, by
	// batch size.
	Load  protocol.Measurement `json:"load_weights"`
	Infer Batches              `json:"infer"`
}

// Models and Batches are lists whose lengths are bounded before their elements are made: an
// empty element of a file is some bytes, and hundreds in memory.
type (
	Models  []Model
	Batches []Batch
)

// UnmarshalJSON implements json.Unmarshaler.
func (m *Models) UnmarshalJSON(text []byte) (err error) {
	*m, err = bounded[Model](text, MaxModels)
	return err
}

// UnmarshalJSON implements json.Unmarshaler.
func (b *Batches) UnmarshalJSON(text []byte) (err error) {
	*b, err = bounded[Batch](text, maxSizes)
	return err
}

func bounded[T any](text []byte, most int) ([]T, error) {
	var raw []json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, err
	}
	if len(raw) > most {
		return nil, fmt.Errorf("a list of %d; expected at most %d", len(raw), most)
	}
	var list []T
	for _, element := range raw {
		var v T
		if err := json.Unmarshal(element, &v); err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, nil
}

// Batch is the measurements of one batch size.
type Batch struct {
	protocol.BatchMeasurement
	// Took is what executions took while the stack served, nil if there were too few.
	Took Quantiles `json:"took_ns,omitempty"`
}

// Quantiles are durations at equal steps of probability, from the least to the largest.
type Quantiles []time.Duration

// quantiles is how many there are, leastSamples of how many samples they need.
const quantiles, leastSamples = 101, 20

// quantilesOf returns those of samples, which it sorts; nil for too few.
func quantilesOf(samples []time.Duration) Quantiles {
	if len(samples) < leastSamples {
		return nil
	}
	slices.Sort(samples)
	q := make(Quantiles, quantiles)
	for i := range q {
		q[i] = samples[i*(len(samples)-1)/(quantiles-1)]
	}
	return q
}

// At returns the duration at a probability from 0 to 1, interpolated.
func (q Quantiles) At(p float64) time.Duration {
	rank := min(max(p, 0), 1) * float64(len(q)-1)
	low := int(rank)
	high := min(low+1, len(q)-1)
	return q[low] + time.Duration((rank-float64(low))*float64(q[high]-q[low]))
}

// Mean returns the mean duration.
func (q Quantiles) Mean() time.Duration {
	sum := 0.0
	for i := 1; i < len(q); i++ {
		sum += float64(q[i-1]+q[i]) / 2
	}
	return time.Duration(sum / float64(len(q)-1))
}

func (q Quantiles) validate() error {
	switch {
	case q == nil:
		return nil
	case len(q) < 2 || len(q) > quantiles:
		return fmt.Errorf("%d quantiles; expected 2 to %d", len(q), quantiles)
	case q[0] < 0 || q[len(q)-1] > protocol.MaxMeasured || !slices.IsSorted(q):
		return fmt.Errorf("quantiles must ascend, from 0 to %v", protocol.MaxMeasured)
	}
	return nil
}

// Read reads a file from anywhere.
func Read(from io.Reader) (*Hardware, error) {
	body, err := io.ReadAll(io.LimitReader(from, MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read hardware: %w", err)
	}
	if len(body) > MaxBytes {
		return nil, fmt.Errorf("read hardware: it has more than %d bytes", MaxBytes)
	}
	var h Hardware
	if err := json.Unmarshal(body, &h); err != nil {
		return nil, fmt.Errorf("read hardware: %w", err)
	}
	if err := h.Validate(); err != nil {
		return nil, fmt.Errorf("read hardware: %w", err)
	}
	return &h, nil
}

// Validate returns an error that names the first model that is out of range.
func (h *Hardware) Validate() error {
	switch {
	case h.Format != Format:
		return fmt.Errorf("its format is %d, this program reads %d", h.Format, Format)
	case len(h.Models) == 0 || len(h.Models) > MaxModels:
		return fmt.Errorf("%d models; expected 1 to %d", len(h.Models), MaxModels)
	}
	if err := errors.Join(h.ToWorker.validate(), h.FromWorker.validate()); err != nil {
		return fmt.Errorf("messages: %w", err)
	}
	seen := map[string]bool{}
	for i := range h.Models {
		m := &h.Models[i]
		if seen[m.Path] {
			return fmt.Errorf("%.80q stands there twice", m.Path)
		}
		seen[m.Path] = true
		if err := m.validate(); err != nil {
			return fmt.Errorf("%.80q: %w", m.Path, err)
		}
	}
	return nil
}

func (m *Model) validate() error {
	if zoo.Find(m.Path) == nil {
		return errors.New("the zoo has no such model; profiles export --as names one for each model")
	}
	for _, bytes := range []int64{m.Input, m.Output, m.Weights} {
		if bytes < 0 || bytes > maxTensor {
			return fmt.Errorf("%d bytes; expected 0 to %d", bytes, int64(maxTensor))
		}
	}
	if len(m.Infer) == 0 || len(m.Infer) > maxSizes {
		return fmt.Errorf("%d batch sizes; expected 1 to %d", len(m.Infer), maxSizes)
	}
	if !m.Load.Valid() {
		return fmt.Errorf("its load_weights %+v is no measurement", m.Load)
	}
	last := 0
	for i := range m.Infer {
		b := &m.Infer[i]
		if b.Batch <= last || b.Batch > math.MaxInt16 {
			return fmt.Errorf("batch size %d after %d", b.Batch, last)
		}
		last = b.Batch
		if !b.Valid() {
			return fmt.Errorf("batch size %d: %+v is no measurement", b.Batch, b.Measurement)
		}
		if err := b.Took.validate(); err != nil {
			return fmt.Errorf("batch size %d: %w", b.Batch, err)
		}
	}
	return nil
}

// Find returns the model at a path, nil if there is none, or no hardware.
func (h *Hardware) Find(path string) *Model {
	if h == nil {
		return nil
	}
	for i := range h.Models {
		if h.Models[i].Path == path {
			return &h.Models[i]
		}
	}
	return nil
}

// Network returns the network at a path with its times on this hardware; the zoo's if it was
// not measured there, nil if the zoo has none.
func (h *Hardware) Network(path string) *zoo.Network {
	n, m := zoo.Find(path), h.Find(path)
	if n == nil || m == nil {
		return n
	}
	var infer []protocol.BatchMeasurement
	for i := range m.Infer {
		infer = append(infer, m.Infer[i].BatchMeasurement)
	}
	return n.Measured(m.Input, m.Output, m.Weights, m.Load.P50, infer)
}

// Messages returns what a message to a worker took at least, and how much more on average.
func (h *Hardware) Messages() (base, jitter time.Duration) {
	base = h.ToWorker[0]
	return base, max(0, h.ToWorker.Mean()-base)
}

// Profile replaces the numbers of a profile by what the profiler measured.
func (m *Model) Profile(p *protocol.Profile) {
	p.LoadWeights = m.Load
	for i := range p.Infer {
		for j := range m.Infer {
			if m.Infer[j].Batch == p.Infer[i].Batch {
				p.Infer[i].Measurement = m.Infer[j].Measurement
			}
		}
	}
}

// Took returns what executions of a batch took, at a probability: of the measured size if
// there is one, else of the nearest, as the profile has them relative to each other. False if
// none was seen.
func (m *Model) Took(batch int, p float64) (time.Duration, bool) {
	var nearest *Batch
	for i := range m.Infer {
		if b := &m.Infer[i]; b.Took != nil && (nearest == nil || abs(b.Batch-batch) < abs(nearest.Batch-batch)) {
			nearest = b
		}
	}
	if nearest == nil {
		return 0, false
	}
	took := nearest.Took.At(p)
	if nearest.Batch == batch {
		return took, true
	}
	profile := protocol.Profile{}
	for i := range m.Infer {
		profile.Infer = append(profile.Infer, m.Infer[i].BatchMeasurement)
	}
	ratio := float64(profile.Interpolated(batch, protocol.P50Of)) / float64(max(1, nearest.P50))
	return time.Duration(float64(took) * ratio), true
}

func abs(n int) int { return max(n, -n) }
