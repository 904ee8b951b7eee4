package pages

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"clockwork/pkg/protocol"
)

// phase is the state of a model's weights on the GPU. A model without frames has none.
type phase uint8

const (
	loading  phase = iota // from Begin until Commit or Abort
	loaded                // from Commit, or Keep, until Evict
	evicting              // from Evict until Free or Keep
)

var phaseNames = [...]string{"loading", "loaded", "evicting"}

// holding is the page frames of one model, from Begin until Free or Abort.
type holding struct {
	// frames are the indices of the frames, in the order of the model's pages.
	frames []int
	phase  phase
	// version identifies the weights, 0 while they are being loaded.
	version uint64
	// users counts the executions that read the weights. > 0 only in phase loaded; it
	// prevents the eviction.
	users int
	// lost: the weights are gone (Lose), and whoever copies, reads or evicts them has not
	// ended yet. The end drops the holding, whatever it says.
	lost bool
}

// Ledger accounts for the pages of one GPU.
//
// Invariants: every frame is either free or belongs to exactly one holding, so
// loading + loaded + evicting pages never exceed the total (G6). A holding with
// users is loaded. Versions are never reused.
type Ledger struct {
	// total is the number of frames; it does not change.
	total int
	// free are the free frames, used as a stack: the last frame is taken first.
	free []int
	// held are the models with frames, by name.
	held map[string]*holding
	// versions is the last version given to weights; it only grows.
	versions uint64
}

// New returns a ledger of frames 0 to total-1, all of them free.
func New(total int) *Ledger {
	l := &Ledger{total: total, held: map[string]*holding{}}
	for f := total - 1; f >= 0; f-- {
		l.free = append(l.free, f)
	}
	return l
}

// Total returns the number of pages.
func (l *Ledger) Total() int { return l.total }

// Used returns the number of pages whose weights are loading, loaded or
// evicting.
func (l *Ledger) Used() int { return l.total - len(l.free) }

// Loaded returns the models whose weights are on the GPU, sorted.
func (l *Ledger) Loaded() []string {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(l.held)) {
		if h := l.held[name]; h.phase == loaded && !h.lost {
			names = append(names, name)
		}
	}
	return names
}

// Moving returns the other models that have pages, sorted: their weights are loading or
// evicting, or were lost and not let go of yet.
func (l *Ledger) Moving() (names []string) {
	for _, name := range slices.Sorted(maps.Keys(l.held)) {
		if h := l.held[name]; h.phase != loaded || h.lost {
			names = append(names, name)
		}
	}
	return names
}

// Holds reports whether a model has pages, in any phase.
func (l *Ledger) Holds(model string) bool { return l.held[model] != nil }

// Begin reserves n frames for a model's weights, which the caller copies next.
// It returns ALREADY_LOADED, WEIGHTS_IN_USE (loading or evicting),
// INVALID_ACTION (n < 1) or NO_MEMORY.
func (l *Ledger) Begin(model string, n int) ([]int, *protocol.Error) {
	if h := l.held[model]; h != nil {
		switch {
		case h.lost:
			return nil, protocol.Errorf(protocol.WeightsInUse, "the weights of %s are lost and not let go of yet", model)
		case h.phase == loaded:
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

// Commit marks the weights of the copy that Begin announced as loaded; false if they were
// lost meanwhile, and are not there.
func (l *Ledger) Commit(model string) bool {
	h := l.expect(model, loading)
	if h.lost {
		l.drop(model, h)
		return false
	}
	l.versions++
	h.phase, h.version = loaded, l.versions
	return true
}

// Abort frees the frames of a failed copy.
func (l *Ledger) Abort(model string) { l.drop(model, l.expect(model, loading)) }

// Version identifies the present weights of a model; 0 if they are not on the
// GPU. Weights loaded again get another version.
func (l *Ledger) Version(model string) uint64 {
	if h := l.held[model]; h != nil && h.phase == loaded && !h.lost {
		return h.version
	}
	return 0
}

// Use registers a reader of a model's weights, which stay until Done. It returns
// their version, or WEIGHTS_MISSING.
func (l *Ledger) Use(model string) (uint64, *protocol.Error) {
	h := l.held[model]
	if h == nil || h.phase != loaded || h.lost {
		return 0, protocol.Refusal(protocol.WeightsMissing)
	}
	h.users++
	return h.version, nil
}

// Done ends one Use.
func (l *Ledger) Done(model string) {
	h := l.expect(model, loaded)
	if h.users == 0 {
		panic("pages: Done of " + model + " without Use")
	}
	if h.users--; h.users == 0 && h.lost {
		l.drop(model, h)
	}
}

// Evict announces the eviction of a model's weights. It returns WEIGHTS_MISSING,
// or WEIGHTS_IN_USE while they are being read, copied or evicted.
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

// Free completes an Evict: the weights are gone and their frames free.
func (l *Ledger) Free(model string) { l.drop(model, l.expect(model, evicting)) }

// Keep cancels an Evict: the weights are still loaded, unless they were lost meanwhile.
func (l *Ledger) Keep(model string) {
	h := l.expect(model, evicting)
	if h.lost {
		l.drop(model, h)
		return
	}
	h.phase = loaded
}

// Lose records that all weights are gone: the process that held them has ended. What
// nobody copies, reads or evicts is dropped now, in the order of the names; the rest at
// the end of that.
func (l *Ledger) Lose() {
	for _, name := range slices.Sorted(maps.Keys(l.held)) {
		h := l.held[name]
		if h.lost = true; h.phase == loaded && h.users == 0 {
			l.drop(name, h)
		}
	}
}

// String shows the ledger's state.
func (l *Ledger) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d pages used\n", l.Used(), l.total)
	for _, name := range slices.Sorted(maps.Keys(l.held)) {
		h := l.held[name]
		fmt.Fprintf(&b, "  %s %s, %d pages, version %d, %d users%s\n", name, phaseNames[h.phase], len(h.frames), h.version, h.users, map[bool]string{true: ", lost"}[h.lost])
	}
	return b.String()
}

// drop ends a holding and frees its frames, so that the next Begin gets the same ones.
func (l *Ledger) drop(model string, h *holding) {
	slices.Reverse(h.frames)
	l.free = append(l.free, h.frames...)
	delete(l.held, model)
}

// expect returns a holding that must be in phase p; it panics otherwise.
func (l *Ledger) expect(model string, p phase) *holding {
	h := l.held[model]
	if h == nil || h.phase != p {
		panic(fmt.Sprintf("pages: %s is not %s", model, phaseNames[p]))
	}
	return h
}
