package sched

import (
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
)

// gpuBook is what a world saw of a GPU, in the plainest way: pages are counted by adding up
// what is there.
type gpuBook struct {
	host   *host
	id     int
	loaded map[string]bool // false: being loaded
	runs   [2]*work.Order  // transfer, execution
}

func newGPUBook(h *host, id int) *gpuBook {
	return &gpuBook{host: h, id: id, loaded: map[string]bool{}}
}

func laneOf(k protocol.Kind) int {
	if k == protocol.Infer {
		return 1
	}
	return 0
}

func (b *gpuBook) pages() (sum int) {
	for model := range b.loaded {
		sum += b.host.world.spec(model).Pages
	}
	return sum
}

// uses reports whether the execution that runs needs the weights of a model.
func (b *gpuBook) uses(model string) bool { return b.runs[1] != nil && b.runs[1].Action.Model == model }

// began checks what begins: within its window (G2), one at a time, with the weights that it
// needs and within the pages (G6).
func (b *gpuBook) began(o *work.Order) {
	w, a := b.host.world, &o.Action
	loaded, there := b.loaded[a.Model]
	switch lane := laneOf(a.Kind); {
	case w.now < o.Earliest || w.now > o.Latest:
		w.fail("G2: %s gpu %d begins %s %d outside of its window, %v to %v", b.host.ID(), b.id, a.Kind, a.ID, o.Earliest, o.Latest)
	case b.runs[lane] != nil:
		w.fail("%s gpu %d begins %s %d beside %d", b.host.ID(), b.id, a.Kind, a.ID, b.runs[lane].Action.ID)
	case a.Kind == protocol.LoadWeights && there, a.Kind != protocol.LoadWeights && !loaded, a.Kind == protocol.EvictWeights && b.uses(a.Model):
		w.fail("G6: %s gpu %d begins %s of %s, there %v, loaded %v, used %v", b.host.ID(), b.id, a.Kind, a.Model, there, loaded, b.uses(a.Model))
	case a.Kind == protocol.LoadWeights:
		b.loaded[a.Model] = false
		if used, total := b.pages(), b.total(); used > total {
			w.fail("G6: %s gpu %d would hold %d pages of %d with %s", b.host.ID(), b.id, used, total, a.Model)
		}
	}
	b.runs[laneOf(a.Kind)] = o
}

func (b *gpuBook) total() int {
	_, total := b.host.Core.Pages(b.id)
	return total
}

// lost notes that the GPU's executor ended.
func (b *gpuBook) lost() { b.loaded, b.host.doubtful = map[string]bool{}, true }

// ended notes how an action ended, which may not have begun.
func (b *gpuBook) ended(r *protocol.Result, o *work.Order) {
	w, ran := b.host.world, b.runs[laneOf(r.Kind)] == o
	if ran {
		b.runs[laneOf(r.Kind)] = nil
	}
	switch {
	case r.Code == protocol.WeightsMissing && r.Kind == protocol.Infer && !b.host.doubtful:
		w.fail("%s gpu %d was to run %s, which it does not hold", b.host.ID(), b.id, r.Model)
	case r.Code == protocol.NoMemory && !ran && r.Kind == protocol.LoadWeights:
		w.fail("G6: %s gpu %d was to load %s beside %d pages of %d", b.host.ID(), b.id, r.Model, b.pages(), b.total())
	case r.Code == protocol.WeightsInUse:
		w.faults.inUse++
	case !ran || r.Kind == protocol.Infer:
	case r.Kind == protocol.EvictWeights:
		w.faults.evictions++
		delete(b.loaded, r.Model)
	case r.Code == protocol.OK:
		b.loaded[r.Model] = true
	default:
		delete(b.loaded, r.Model)
	}
}
