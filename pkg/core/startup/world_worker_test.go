package startup

import (
	"cmp"
	"fmt"
	"time"

	"clockwork/pkg/core/work"
	"clockwork/pkg/core/work/virtual"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/simworker"
)

// living is one life of a worker of a world: its core, on a disk and a GPU of the world.
type living struct {
	simworker.Time
	*virtual.Worker
	world *world
	life  uint64
	// silenced: it was lost once and is the same again, so that what was asked
	// of it before may be asked a second time.
	silenced bool
	// stopping: it refuses what comes, until it ends.
	stopping bool
	uses     protocol.ActionID // by somebody else, of models that were just loaded
}

// memory is what it truly holds.
func (l *living) memory() map[string]protocol.ModelSpec {
	held := map[string]protocol.ModelSpec{}
	for _, m := range l.Core.State().Models {
		held[m.Name] = m
	}
	return held
}

func (l *living) holds(name string) bool {
	if l == nil {
		return false
	}
	_, ok := l.memory()[name]
	return ok
}

// serves reports whether it holds an accepted model just as it was accepted.
func (l *living) serves(name string) bool {
	accepted := l.world.m.models[name]
	have := l.memory()[name]
	return have.Differs(&accepted) == ""
}

// lives reports whether it has not ended.
func (l *living) lives() bool { return l.world.living[l.ID()] == l }

// worker lets something happen to one of the workers.
func (w *world) worker() {
	id := fmt.Sprintf("w%d", w.RNG.IntN(3))
	l := w.living[id]
	if l == nil || w.RNG.IntN(2) == 0 {
		w.begin(id)
		return
	}
	if w.RNG.IntN(4) == 0 {
		l.stop()
		return
	}
	w.step(WorkerLost{id, l.life})
	if w.RNG.IntN(2) == 0 {
		delete(w.living, id)
		return
	}
	l.silenced = true
	w.later(func() {
		if w.living[id] == l {
			w.step(WorkerSeen{id, l.life})
		}
	})
}

// stop is a worker's orderly end: it finishes what it has.
func (l *living) stop() {
	l.stopping = true
	l.Step(&work.Stop{})
	l.world.After(l.world.UpTo(3*time.Second), l.end)
}

func (l *living) end() {
	if l.lives() {
		delete(l.world.living, l.ID())
		l.world.step(WorkerLost{l.ID(), l.life})
	}
}

// begin is the first word of a worker, or of another life of it.
func (w *world) begin(id string) {
	w.lives[id]++
	l := &living{Time: simworker.Time{Clock: &w.Clock}, world: w, life: w.lives[id]}
	l.Worker = virtual.New(workerConfig(id, l.life, gpuOf(id)), l)
	l.Renewed = func() { w.After(0, l.renewed) }
	w.living[id] = l
	w.step(WorkerSeen{id, w.lives[id]})
}

// renewed has the machine see that a worker is another incarnation.
func (l *living) renewed() {
	w, id := l.world, l.ID()
	w.renewed++
	if !l.lives() {
		return
	}
	w.lives[id]++
	l.life = w.lives[id]
	w.step(WorkerSeen{id, l.life})
}

// loses lets one message in so many get lost.
func (w *world) loses(oneIn int) bool {
	lost := !w.healed && w.RNG.IntN(oneIn) == 0
	w.lost += b2i(lost)
	return lost
}

func workerConfig(id string, incarnation uint64, gpu string) work.Config {
	c := work.Defaults()
	c.Name, c.Incarnation, c.GPUs = id, incarnation, []work.GPU{{Type: gpu, Pages: 1000, PageSize: 1}}
	return c
}

// send has an action at its worker, unless it is lost on the way; at times it comes late, with
// those after it, and perhaps to a later life.
func (w *world) send(a WorkerAction) {
	if a.Action.Kind == protocol.Renew {
		w.checkRenewal(a.Worker)
	}
	if w.loses(8) {
		return
	}
	w.inbox[a.Worker] = append(w.inbox[a.Worker], a.Action)
	if w.RNG.IntN(6) > 0 && len(w.inbox[a.Worker]) == 1 {
		w.arrive(a.Worker)
		return
	}
	w.later(func() { w.arrive(a.Worker) })
}

// arrive has the first action that is on its way to a worker arrive.
func (w *world) arrive(id string) {
	a := w.inbox[id][0]
	w.inbox[id] = w.inbox[id][1:]
	if l := w.living[id]; l != nil {
		l.Receive(a)
	}
}

// disk is what a world's workers find: of each path the highest version, and the digests of
// files that were changed where they lie, by worker, path and version.
type disk struct {
	highest map[string]int
	changed map[string]string
}

func place(worker, path string, version int) string {
	return fmt.Sprintf("%s %s %d", worker, path, version)
}

func (d *disk) digest(worker, path string, version int) string {
	return cmp.Or(d.changed[place(worker, path, version)], fmt.Sprintf("%s.%d", path, version))
}

// edit adds a version to a path, changes the files of the highest one on one worker, or puts
// back what was changed.
func (w *world) edit() {
	path := fmt.Sprintf("zoo/m%d", w.RNG.IntN(6))
	changed := sortedKeys(w.disk.changed)
	switch {
	case w.RNG.IntN(2) == 0:
		w.disk.highest[path]++
	case len(changed) > 1 && w.RNG.IntN(2) == 0:
		delete(w.disk.changed, changed[w.RNG.IntN(len(changed))])
	default:
		id, version := fmt.Sprintf("w%d", w.RNG.IntN(3)), w.disk.highest[path]+1
		w.disk.changed[place(id, path, version)] = fmt.Sprintf("%s.%d.of.%s", path, version, id)
	}
}

// restore puts what was accepted on every disk. Of two models from one place with different
// digests only one can be there.
func (w *world) restore() {
	clear(w.disk.changed)
	for _, name := range sortedKeys(w.m.models) {
		m := w.m.models[name]
		for i := range 3 {
			w.disk.changed[place(fmt.Sprintf("w%d", i), m.Path, m.Version)] = m.Digest
		}
	}
}

// has reports whether an accepted model can be had on a worker.
func (w *world) has(id, name string) bool {
	m := w.m.models[name]
	return w.disk.digest(id, m.Path, m.Version) == m.Digest
}

// rests reports whether the machine has nothing to do but to ask again for what cannot be
// had.
func (w *world) rests() bool {
	for id, seen := range w.m.workers {
		for name := range seen.lacks {
			if w.living[id] != nil && w.has(id, name) && seen.lacks[name].Code != protocol.ModelUnavailable {
				return false
			}
		}
		if seen.unmeasured && w.m.worthRenewal(seen) {
			return false
		}
	}
	if w.m.renewing() {
		return false
	}
	look := w.m.renewals.look
	w.m.renewals.look = 0
	defer func() { w.m.renewals.look = look }()
	next := map[string]protocol.Time{}
	for id, seen := range w.m.workers {
		next[id], seen.retry.at = seen.retry.at, protocol.Never
	}
	rests := w.m.wake() == protocol.Never
	for id, at := range next {
		w.m.workers[id].retry.at = at
	}
	return rests
}

// Reads returns what a worker finds for a load: what is pinned, or the highest version. A
// pinned version is there for ever, but may have been changed.
func (l *living) Reads(a *protocol.LoadSpec) (protocol.ModelSpec, time.Duration, *protocol.Error) {
	w := l.world
	if a.Within <= 0 || a.Within > w.m.cfg.LoadTimeout {
		w.fail("%s may take %v for %v, and it is given up after %v", l.ID(), a.Within, a.Names, w.m.cfg.LoadTimeout)
	}
	version := a.Version
	if version == 0 {
		version = w.disk.highest[a.Path] + 1
	}
	digest, takes := w.disk.digest(l.ID(), a.Path, version), w.reading()
	if a.Digest != "" && a.Digest != digest {
		w.changed++
		return protocol.ModelSpec{}, takes, protocol.Refusal(protocol.ModelChanged)
	}
	found := spec(fmt.Sprintf("=%s#%s:%d:%d", a.Path, digest, version, a.MaxBatch))
	if a.Compare {
		return found, takes, nil
	}
	for _, name := range a.Names {
		if l.holds(name) && !l.silenced && l.lives() {
			w.fail("%s holds %s and is asked to load it once more", l.ID(), name)
		}
	}
	if w.RNG.IntN(12) == 0 && w.m.stage == protocol.Loading && !w.kv[a.Names[0]] {
		return found, takes, protocol.Refusal(protocol.NoMemory)
	}
	return found, takes, nil
}

// reading is how long a model takes to be read, which may be too long.
func (w *world) reading() time.Duration {
	switch {
	case w.healed || w.RNG.IntN(3) > 0:
		return w.UpTo(time.Millisecond)
	case w.RNG.IntN(10) > 0:
		return w.UpTo(3 * time.Second)
	}
	return w.UpTo(w.m.cfg.LoadTimeout + 5*time.Second)
}

// Begins returns how long the use of a model takes.
func (l *living) Begins(*work.Order, *virtual.GPU) time.Duration {
	return l.world.UpTo(5 * time.Second)
}

// Delivers has no outputs to deliver.
func (l *living) Delivers(o *work.Order) { l.world.fail("%s has outputs: %v", l.ID(), o.Action) }

// Answers sends a result, unless that is lost.
func (l *living) Answers(r *protocol.Result, o *work.Order) {
	w := l.world
	if !l.lives() || r.Issuer != w.m.cfg.Issuer {
		return
	}
	w.replayed += b2i(o == nil && r.Kind != protocol.GetWorkerState)
	w.cleared += b2i(o != nil && r.Kind == protocol.ClearCache)
	if o != nil && r.Code == protocol.OK && r.Kind == protocol.LoadModelFromDisk && !o.Action.Load.Compare && !w.healed && w.RNG.IntN(8) == 0 {
		w.After(0, func() { l.use(o.Action.Load.Names[0]) })
	}
	if !w.loses(8) {
		result := *r
		result.Worker = l.ID()
		w.post(LoadResult{result})
	}
}

// use has somebody else load the weights of a model or execute it. It cannot be removed
// meanwhile, and others only once the weights are loaded.
func (l *living) use(name string) {
	kind := protocol.LoadWeights
	if l.world.RNG.IntN(2) == 0 {
		l.HoldOnGPU(0, name)
		kind = protocol.Infer
	}
	l.uses++
	l.Receive(protocol.Action{ID: l.uses, Issuer: 99, Kind: kind, Model: name, Batch: 1, Latest: protocol.Never})
}

// checkLiving: once all is well, every worker that lives is in service and holds
// what all hold, nothing is under way at it, and a scheduler has it.
func (w *world) checkLiving() {
	for _, id := range sortedKeys(w.living) {
		l, seen := w.living[id], w.m.workers[id]
		if seen == nil || seen.incarnation != l.life || !seen.ready() {
			w.fail("%s lives and is not in service: %+v", id, seen)
		}
		if len(seen.queue)+len(seen.out) > 0 {
			w.fail("%s is asked for %d and %d things still", id, len(seen.queue), len(seen.out))
		}
		if w.active && !seen.joined {
			w.fail("%s lives and has not joined the scheduler", id)
		}
		if w.active && w.heard[id] != seen.incarnation {
			w.fail("%s lives and the scheduler has not heard of it", id)
		}
		for _, name := range sortedKeys(w.m.models) {
			if !l.serves(name) && w.has(id, name) {
				w.fail("%s does not hold %s, though it could", id, name)
			} else if !l.serves(name) && seen.serves(name) {
				w.fail("%s does not hold %s, and does not lack it", id, name)
			} else if !l.serves(name) {
				continue
			}
			if why := seen.lacks[name].Code; why == protocol.ModelUnavailable && w.m.unmeasured(name, &seen.state) != "" && w.elsewhere(id, name) {
				continue // it would have to leave what it alone serves
			} else if why != "" {
				w.fail("%s holds %s, and lacks it: %v", id, name, seen.lacks[name])
			}
		}
	}
}
