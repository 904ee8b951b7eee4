package pages

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// phase is where a model's weights stand.
type phase uint8

const (
	loading phase = iota
	loaded
	evicting
)

var phaseNames = [...]string{"loading", "loaded", "evicting"}

// holding is the weights of one model: n frames from Begin to Free or Abort.
type holding struct {
	frames  []int
	phase   phase
	version uint64 // of the weights, 0 while they are being copied
	users   int    // executions that read them; only while loaded
}

// Ledger is the accounting of one GPU.
//
// Invariants: every frame is either free or belongs to exactly one holding, so
// loading + loaded + evicting pages never exceed the total (G6). A holding with
// users is loaded. Versions are never used twice.
type Ledger struct {
	total    int
	free     []int // the last one is taken first
	held     map[string]*holding
	versions uint64
}

// New makes a ledger of frames 0 to total-1, all of them free.
func New(total int) *Ledger {
	l := &Ledger{total: total, held: map[string]*holding{}}
	for f := total - 1; f >= 0; f-- {
		l.free = append(l.free, f)
	}
	return l
}

// Total returns the number of pages, Used how many of them are not free.
func (l *Ledger) Total() int { return l.total }

// Used returns the pages that hold, get or lose weights.
func (l *Ledger) Used() int { return l.total - len(l.free) }

// Loaded returns the models whose weights are on the GPU, sorted.
func (l *Ledger) Loaded() []string {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(l.held)) {
		if l.held[name].phase == loaded {
			names = append(names, name)
		}
	}
	return names
}

// Holds reports whether a model has pages: its weights are there, come or go.
func (l *Ledger) Holds(model string) bool { return l.held[model] != nil }

// Begin takes n frames for a model's weights, which are to be copied now. It
// refuses with ALREADY_LOADED, WEIGHTS_IN_USE (they are on their way in or
// out), INVALID_ACTION (no pages at all) or NO_MEMORY.
func (l *Ledger) Begin(model string, n int) ([]int, *protocol.Error) {
	if h := l.held[model]; h != nil {
		if h.phase == loaded {
			return nil, protocol.Refusal(protocol.AlreadyLoaded)
		}
		return nil, protocol.Errorf(protocol.WeightsInUse, "the weights of %s are %s", model, phaseNames[h.phase])
	}
	if n < 1 {
		return nil, protocol.Errorf(protocol.InvalidAction, "%s takes %d pages", model, n)
	}
	if n > len(l.free) {
		refusal := protocol.Errorf(protocol.NoMemory, "%s takes %d pages, %d of %d are free", model, n, len(l.free), l.total)
		refusal.Got, refusal.Limit = int64(n), int64(len(l.free))
		return nil, refusal
	}
	frames := slices.Clone(l.free[len(l.free)-n:])
	slices.Reverse(frames)
	l.free = l.free[:len(l.free)-n]
	l.held[model] = &holding{frames: frames, phase: loading}
	return slices.Clone(frames), nil
}

// Commit says that the copy which Begin announced is there.
func (l *Ledger) Commit(model string) {
	h := l.expect(model, loading)
	l.versions++
	h.phase, h.version = loaded, l.versions
}

// Abort gives the frames of a copy that failed back.
func (l *Ledger) Abort(model string) { l.drop(model, l.expect(model, loading)) }

// Version tells the weights of a model from later ones; 0 when they are not
// on the GPU.
func (l *Ledger) Version(model string) uint64 {
	if h := l.held[model]; h != nil && h.phase == loaded {
		return h.version
	}
	return 0
}

// Use begins to read a model's weights; they stay until Done. It returns their
// version, or WEIGHTS_MISSING.
func (l *Ledger) Use(model string) (uint64, *protocol.Error) {
	h := l.held[model]
	if h == nil || h.phase != loaded {
		return 0, protocol.Refusal(protocol.WeightsMissing)
	}
	h.users++
	return h.version, nil
}

// Done ends what Use began.
func (l *Ledger) Done(model string) {
	h := l.expect(model, loaded)
	if h.users == 0 {
		panic("pages: Done of " + model + " without Use")
	}
	h.users--
}

// Evict announces that a model's weights are about to go. It refuses with
// WEIGHTS_MISSING, or WEIGHTS_IN_USE while they are read, copied or going.
func (l *Ledger) Evict(model string) *protocol.Error {
	h := l.held[model]
	switch {
	case h == nil:
		return protocol.Refusal(protocol.WeightsMissing)
	case h.phase != loaded:
		return protocol.Errorf(protocol.WeightsInUse, "the weights of %s are %s", model, phaseNames[h.phase])
	case h.users > 0:
		return protocol.Errorf(protocol.WeightsInUse, "%d executions read the weights of %s", h.users, model)
	}
	h.phase = evicting
	return nil
}

// Free says that the weights which Evict announced are gone.
func (l *Ledger) Free(model string) { l.drop(model, l.expect(model, evicting)) }

// Keep says that the weights which Evict announced are still there.
func (l *Ledger) Keep(model string) { l.expect(model, evicting).phase = loaded }

// String draws the ledger for a person.
func (l *Ledger) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d pages used\n", l.Used(), l.total)
	for _, name := range slices.Sorted(maps.Keys(l.held)) {
		h := l.held[name]
		fmt.Fprintf(&b, "  %s %s, %d pages, version %d, %d users\n", name, phaseNames[h.phase], len(h.frames), h.version, h.users)
	}
	return b.String()
}

func (l *Ledger) drop(model string, h *holding) {
	slices.Reverse(h.frames)
	l.free = append(l.free, h.frames...)
	delete(l.held, model)
}

// expect finds a holding whose phase the caller's own state implies.
func (l *Ledger) expect(model string, p phase) *holding {
	h := l.held[model]
	if h == nil || h.phase != p {
		panic(fmt.Sprintf("pages: %s is not %s", model, phaseNames[p]))
	}
	return h
}
