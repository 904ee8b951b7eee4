package measure

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// unit is one model on one GPU type. Copies of a model are one unit.
type unit struct {
	// model is the copy with the first name; actions name it.
	model   protocol.ModelSpec
	gpuType string
	// known holds the measurements made so far, in earlier, interrupted jobs and in
	// this one. Its slices are replaced, never changed in place.
	known protocol.Profile
	// shown counts the measurements already reported as progress, over all tries.
	shown int
}

// key identifies the unit, and its profile in the store.
func (u *unit) key() Key { return Key{u.model.Digest, u.gpuType} }

// fits reports whether the unit can be measured on a GPU.
func (u *unit) fits(g *gpu) bool {
	w := protocol.WorkerState{PageSize: g.pageSize}
	return u.gpuType == g.kind && w.SpecOf(u.model).Pages <= g.pages && !g.isLacking(u.model.Name)
}

// complete reports whether the profile is complete.
func (u *unit) complete() bool { return u.known.Complete(u.model) }

// measurements returns the number of measurements in a complete profile.
func (u *unit) measurements() int { return 1 + len(u.model.BatchSizes) }

// step is one step of measuring a unit. It is an action, unless its kind is 0.
type step struct {
	kind protocol.Kind
	// batch is the batch size in items, for Infer.
	batch int
	// sampled: the action's duration is a sample. closes: this step completes a
	// measurement of the samples since the last one.
	sampled, closes bool
	// stored, if not empty, names a measurement that is already known, in place of
	// an action.
	stored string
}

// steps returns the steps that complete known on a GPU. The weights are loaded
// in any case, because the batches need them.
func (u *unit) steps(iterations int) []step {
	list := append(make([]step, 0, (u.measurements()+1)*(iterations+1)), step{kind: protocol.ClearCache})
	if u.known.LoadWeights.Valid() {
		list = append(list, step{kind: protocol.LoadWeights}, step{stored: "weights are stored"})
	} else {
		for i := range iterations {
			if i > 0 {
				list = append(list, step{kind: protocol.EvictWeights})
			}
			list = append(list, step{kind: protocol.LoadWeights, sampled: true, closes: i == iterations-1})
		}
	}
	for _, batch := range u.model.BatchSizes {
		if at, ok := u.known.At(batch); ok && at.Valid() {
			list = append(list, step{stored: fmt.Sprintf("batch %d is stored", batch)})
			continue
		}
		for i := range iterations + 1 { // the first run is slower and is not sampled
			list = append(list, step{kind: protocol.Infer, batch: batch, sampled: i > 0, closes: i == iterations})
		}
	}
	return append(list, step{kind: protocol.EvictWeights})
}

// add puts the measurement of a step into known and returns its description, or
// the reason why it is unusable.
func (u *unit) add(s step, samples []time.Duration) (words, absurd string) {
	m := Summarize(samples)
	if s.kind == protocol.LoadWeights {
		if !m.Valid() {
			return "", fmt.Sprintf("absurd weight transfer times: %v", samples)
		}
		u.known.LoadWeights = m
		return fmt.Sprintf("weights %v", m.P50.Round(10*time.Microsecond)), ""
	}
	if !m.Valid() {
		return "", fmt.Sprintf("absurd times at batch %d: %v", s.batch, samples)
	}
	// A copy, because the last stored profile may still be in use by the shell.
	list := slices.DeleteFunc(slices.Clone(u.known.Infer), func(b protocol.BatchMeasurement) bool { return b.Batch == s.batch })
	list = append(list, protocol.BatchMeasurement{Batch: s.batch, Measurement: m})
	slices.SortFunc(list, func(a, b protocol.BatchMeasurement) int { return a.Batch - b.Batch })
	u.known.Infer = list
	return fmt.Sprintf("batch %d %v", s.batch, m.P50.Round(10*time.Microsecond)), ""
}
