package measure

import (
	"fmt"
	"slices"
	"time"

	"clockwork/pkg/protocol"
)

// unit is one model on one type of GPU. Copies of a model are one unit.
type unit struct {
	model   protocol.ModelSpec
	gpuType string
	// known is what is measured: in earlier, interrupted jobs and in this one.
	known protocol.Profile
	// shown is how many of its measurements the progress counts.
	shown int
}

func (u *unit) key() Key { return Key{u.model.Digest, u.gpuType} }

func (u *unit) fits(g *gpu) bool { return u.gpuType == g.kind && u.model.Pages <= g.pages }

// complete reports whether nothing of the profile is missing.
func (u *unit) complete() bool { return u.known.Complete(u.model) }

// measurements is how many a complete profile has.
func (u *unit) measurements() int { return 1 + len(u.model.BatchSizes) }

// step is one thing to do of measuring a unit: an action, unless its kind is 0.
type step struct {
	kind  protocol.Kind
	batch int
	// sampled: how long the action takes is a sample; closes: with this step a
	// measurement is complete, from the samples since the last one.
	sampled, closes bool
	// stored says which measurement need not be made, instead of an action.
	stored string
}

// steps are what is to be done with a unit on a GPU, to add to known what it
// lacks. The weights are copied in any case, since the batches need them.
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
		for i := range iterations + 1 { // the first run is slower and does not count
			list = append(list, step{kind: protocol.Infer, batch: batch, sampled: i > 0, closes: i == iterations})
		}
	}
	return append(list, step{kind: protocol.EvictWeights})
}

// add puts what a step measured into known, and returns it in words; or why it
// cannot be planned with.
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
	// A copy, since the profile that was stored last may still be on its way.
	list := slices.DeleteFunc(slices.Clone(u.known.Infer), func(b protocol.BatchMeasurement) bool { return b.Batch == s.batch })
	list = append(list, protocol.BatchMeasurement{Batch: s.batch, Measurement: m})
	slices.SortFunc(list, func(a, b protocol.BatchMeasurement) int { return a.Batch - b.Batch })
	u.known.Infer = list
	return fmt.Sprintf("batch %d %v", s.batch, m.P50.Round(10*time.Microsecond)), ""
}
