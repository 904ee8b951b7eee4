package hardware

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/adapter/backend/zoo"
	"clockwork/pkg/protocol"
)

// Export makes a file of the models of a stack with their profiles on one type of GPU ("" for
// the only one), and of what an action log says; nil for none. as names models of the zoo by
// the paths of models; those that it does not name are called like themselves, with or
// without the beginning of the networks of a processor. Copies of a model are one.
func Export(models []protocol.ModelState, gpu string, as map[string]string, log *Observed) (*Hardware, error) {
	h := &Hardware{Format: Format}
	took := map[string]map[int][]time.Duration{} // by path, then batch size
	for i := range models {
		m := &models[i]
		where, err := pathOf(m.Path, as)
		if err != nil {
			return nil, err
		}
		if took[where] == nil {
			took[where] = map[int][]time.Duration{}
			entry, err := entryOf(m, where, gpu)
			if err != nil {
				return nil, fmt.Errorf("model %s: %w", m.Name, err)
			}
			h.Models = append(h.Models, entry)
		}
		for _, b := range h.Find(where).Infer {
			took[where][b.Batch] = append(took[where][b.Batch], log.executions(m.Name, b.Batch)...)
		}
	}
	for i := range h.Models {
		for j := range h.Models[i].Infer {
			b := &h.Models[i].Infer[j]
			b.Took = quantilesOf(took[h.Models[i].Path][b.Batch])
		}
	}
	if log != nil {
		h.ToWorker, h.FromWorker = quantilesOf(log.toWorker.kept), quantilesOf(log.fromWorker.kept)
	}
	slices.SortFunc(h.Models, func(a, b Model) int { return strings.Compare(a.Path, b.Path) })
	return h, h.Validate()
}

// pathOf returns the zoo's path that stands for a model's.
func pathOf(of string, as map[string]string) (string, error) {
	if to, named := as[of]; named {
		if zoo.Find(to) == nil {
			return "", fmt.Errorf("the zoo has no model %.80q", to)
		}
		return to, nil
	}
	name := path.Base(strings.TrimSuffix(of, "/"))
	for _, guess := range []string{of, zoo.Prefix + zoo.OnProcessor + name, zoo.Prefix + name} {
		if zoo.Find(guess) != nil {
			return guess, nil
		}
	}
	return "", fmt.Errorf("the zoo has no model called like %.80q: name one for it, --as %s=zoo/NAME", of, of)
}

// entryOf returns a model with its profile.
func entryOf(m *protocol.ModelState, where, gpu string) (Model, error) {
	entry := Model{Path: where, Input: m.ItemBytes(), Output: m.OutputBytes(), Weights: m.WeightsBytes}
	var types []string
	for _, p := range m.Profile {
		if gpu == "" || p.GPUType == gpu {
			types = append(types, p.GPUType)
			entry.Load = p.LoadWeights
			for _, b := range p.Infer {
				entry.Infer = append(entry.Infer, Batch{BatchMeasurement: b})
			}
		}
	}
	switch {
	case len(types) > 1:
		return entry, fmt.Errorf("it was measured on several types of GPUs: choose one of %s", strings.Join(types, ", "))
	case len(types) == 0 && gpu != "":
		return entry, fmt.Errorf("it was not measured on a GPU of type %s", gpu)
	case len(types) == 0:
		return entry, fmt.Errorf("it has no profile yet")
	}
	return entry, nil
}
