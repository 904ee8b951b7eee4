package profiler

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// unit is one model on one type of GPU. Copies of a model are one unit.
type unit struct {
	model   protocol.ModelSpec
	gpuType string
	// known is what an earlier, interrupted run measured already.
	known protocol.Profile
}

func (u unit) key() string { return u.model.Digest + " " + u.gpuType }

func (u unit) fits(g gpu) bool { return u.gpuType == g.gpuType && u.model.Pages <= g.pages }

// gpu is where units run.
type gpu struct {
	worker      string
	incarnation uint64
	epoch       uint64 // the highest that the worker had seen
	id          int
	gpuType     string
	pages       int
}

// plan is the work of one job: units wait in order, and each GPU takes the
// next one of its type that fits.
type plan struct {
	gpus   []gpu
	stored []protocol.Profile
	// givenUp failed in a job that was not finished.
	givenUp []unit
	steps   int // measurements to make, for the progress bar
	// hung are the GPUs that gave no results; round's own.
	hung map[gpu]bool

	mu    sync.Mutex
	units []unit
}

// plan finds out what must be measured.
func (s *Service) plan(ctx context.Context, job protocol.ProfileJob) *plan {
	p := &plan{}
	types := map[string]bool{}
	for _, w := range job.Workers {
		for _, g := range w.GPUs {
			p.gpus = append(p.gpus, gpu{w.ID, w.Incarnation, w.Epoch, g.ID, g.Type, g.PagesTotal})
			types[g.Type] = true
		}
	}
	gpuTypes := make([]string, 0, len(types))
	for t := range types {
		gpuTypes = append(gpuTypes, t)
	}
	slices.Sort(gpuTypes)
	p.hung = map[gpu]bool{}
	models := slices.Clone(job.Models)
	slices.SortFunc(models, func(a, b protocol.ModelSpec) int { return strings.Compare(a.Name, b.Name) })
	seen := map[string]bool{}
	for _, m := range models {
		if seen[m.Digest] {
			continue
		}
		seen[m.Digest] = true
		for _, t := range gpuTypes {
			p.add(unit{m, t, s.stored(ctx, job.Known, m, t)}, &s.tries)
		}
	}
	// What cost GPUs before comes last: it must not keep the others from being
	// measured and stored.
	slices.SortStableFunc(p.units, func(a, b unit) int { return s.tries.of(a) - s.tries.of(b) })
	return p
}

// stored finds what was measured under the same key before: in the job, else in
// the store.
func (s *Service) stored(ctx context.Context, known []protocol.Profile, m protocol.ModelSpec, gpuType string) protocol.Profile {
	for _, p := range known {
		if p.Matches(m, gpuType) && p.Complete(m) {
			return p
		}
	}
	earlier, found, err := s.state.Profile(ctx, m.Digest, gpuType)
	if err != nil {
		s.bus.Log.Warn("stored profile not read", "model", m.Name, "error", err)
	}
	if !found || !earlier.Matches(m, gpuType) {
		return protocol.Profile{Digest: m.Digest, Backend: m.Backend, BackendVersion: m.BackendVersion, GPUType: gpuType}
	}
	return earlier
}

func (p *plan) add(u unit, tries *tries) {
	switch {
	case u.known.Complete(u.model):
		p.stored = append(p.stored, u.known)
	case tries.of(u) > maxTries:
		p.givenUp = append(p.givenUp, u)
	default:
		p.units = append(p.units, u)
		p.steps += 1 + len(u.model.BatchSizes)
	}
}

// take gives a GPU its next unit.
func (p *plan) take(g gpu) (unit, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, u := range p.units {
		if u.fits(g) {
			p.units = slices.Delete(p.units, i, i+1)
			return u, true
		}
	}
	return unit{}, false
}

// giveBack returns a unit whose GPU was lost or gave no result.
func (p *plan) giveBack(u unit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.units = append(p.units, u)
}

// fits reports whether one of these GPUs could take a unit that is left.
func (p *plan) fits(gpus []gpu) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.units, func(u unit) bool {
		return slices.ContainsFunc(gpus, u.fits)
	})
}

// lacksGPUs reports whether a unit is left that GPUs which were lost could have
// measured. That says nothing against its model.
func (p *plan) lacksGPUs() bool {
	return p.fits(slices.DeleteFunc(slices.Clone(p.gpus), func(g gpu) bool { return p.hung[g] }))
}

// verdict is why a unit is left although no GPU was lost over it.
func (p *plan) verdict(u unit) string {
	for _, g := range p.gpus {
		if p.hung[g] && u.fits(g) {
			return fmt.Sprintf("GPU %d of worker %s gives no results", g.id, g.worker)
		}
	}
	return "no GPU of this type could hold it"
}

// left returns the units that no GPU took.
func (p *plan) left() []unit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.units)
}

// progress publishes how far a job is.
type progress struct {
	bus   *bus.Bus
	total int

	mu   sync.Mutex
	done int
}

func (p *progress) step(model, worker, what string) {
	p.mu.Lock()
	defer p.mu.Unlock() // until it is published: a bar does not go back
	p.done++
	p.bus.Event(protocol.Event{Kind: protocol.EventProfile, Model: model, Worker: worker, Done: p.done, Total: p.total, Message: what})
}
