package startup

import (
	"cmp"
	"fmt"

	"clockwork/pkg/protocol"
)

// living is one life of a worker of a world. Like services/worker it answers an
// action that comes again from memory, or not yet while it is at it.
type living struct {
	world    *world
	id       string
	life     uint64
	memory   map[string]protocol.ModelSpec // what it truly holds
	answered map[protocol.ActionID]*protocol.Result
	// silenced: it was lost once and is the same again, so that what was asked
	// of it before may be asked a second time.
	silenced bool
}

func (l *living) holds(name string) bool {
	if l == nil {
		return false
	}
	_, ok := l.memory[name]
	return ok
}

// serves reports whether it holds an accepted model just as it was accepted.
func (l *living) serves(name string) bool {
	accepted := l.world.m.models[name]
	have := l.memory[name]
	return have.Differs(&accepted) == ""
}

// worker lets something happen to one of the workers.
func (w *world) worker() {
	id := fmt.Sprintf("w%d", w.rng.Intn(3))
	l := w.living[id]
	if l == nil || w.rng.Intn(2) == 0 {
		w.begin(id)
		return
	}
	w.step(WorkerLost{id, l.life})
	if w.rng.Intn(2) == 0 {
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

// begin is the first word of a worker, or of another life of it.
func (w *world) begin(id string) {
	w.lives[id]++
	w.living[id] = &living{world: w, id: id, life: w.lives[id], memory: map[string]protocol.ModelSpec{}, answered: map[protocol.ActionID]*protocol.Result{}}
	w.step(WorkerSeen{id, w.lives[id]})
}

// loses lets one message in so many get lost.
func (w *world) loses(oneIn int) bool {
	lost := !w.healed && w.rng.Intn(oneIn) == 0
	w.lost += b2i(lost)
	return lost
}

// send has an action at its worker, unless it is lost on the way. An action of
// an earlier life cannot come to a later one here: it would be refused.
func (w *world) send(a WorkerAction) {
	l := w.living[a.Worker]
	if l == nil || a.Action.Incarnation != l.life || w.loses(8) {
		return
	}
	l.take(a.Action)
}

// take begins an action; a load takes longer at times.
func (l *living) take(a protocol.Action) {
	if a.Kind == protocol.GetWorkerState {
		l.tellState()
		return
	}
	if r, known := l.answered[a.ID]; known {
		if r != nil {
			l.world.replayed++
			l.tell(*r)
		}
		return
	}
	l.answered[a.ID] = nil
	if l.world.rng.Intn(3) > 0 {
		l.execute(a)
		return
	}
	l.world.later(func() { l.execute(a) })
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
	path := fmt.Sprintf("zoo/m%d", w.rng.Intn(6))
	changed := sortedKeys(w.disk.changed)
	switch {
	case w.rng.Intn(2) == 0:
		w.disk.highest[path]++
	case len(changed) > 1 && w.rng.Intn(2) == 0:
		delete(w.disk.changed, changed[w.rng.Intn(len(changed))])
	default:
		id, version := fmt.Sprintf("w%d", w.rng.Intn(3)), w.disk.highest[path]+1
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
	}
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

// read returns what a worker finds for a load: what is pinned, or the highest version. A
// pinned version is there for ever, but may have been changed.
func (l *living) read(a *protocol.LoadSpec) (protocol.ModelSpec, protocol.Code) {
	version := a.Version
	if version == 0 {
		version = l.world.disk.highest[a.Path] + 1
	}
	digest := l.world.disk.digest(l.id, a.Path, version)
	if a.Digest != "" && a.Digest != digest {
		l.world.changed++
		return protocol.ModelSpec{}, protocol.ModelChanged
	}
	s := spec(fmt.Sprintf("=%s#%s:%d:%d", a.Path, digest, version, a.MaxBatch))
	return s, protocol.OK
}

func (l *living) execute(a protocol.Action) {
	w, code := l.world, protocol.OK
	var found protocol.ModelSpec
	switch a.Kind {
	case protocol.ClearCache:
		w.cleared++
		if !w.healed && w.rng.Intn(8) == 0 {
			code = protocol.WeightsInUse
			break
		}
		for _, name := range a.Models {
			delete(l.memory, name)
		}
	case protocol.LoadModelFromDisk:
		if within := a.Load.Within; within <= 0 || within > w.m.cfg.LoadTimeout {
			w.fail("%s may take %v for load #%d, and it is given up after %v", l.id, within, a.ID, w.m.cfg.LoadTimeout)
		}
		if found, code = l.read(a.Load); a.Load.Compare || code != protocol.OK {
			break
		}
		for _, name := range a.Load.Names {
			if l.holds(name) && !l.silenced && w.living[l.id] == l {
				w.fail("%s holds %s and is asked to load it once more, as #%d", l.id, name, a.ID)
			}
		}
		if w.rng.Intn(12) == 0 && w.m.stage == protocol.Loading && !w.kv[a.Load.Names[0]] {
			code = protocol.NoMemory
		}
	}
	r := answer(l.id, a, code, "")
	for i := range r.Loaded {
		found.Name = r.Loaded[i].Name
		r.Loaded[i] = found
		if !a.Load.Compare {
			l.memory[found.Name] = found
		}
	}
	l.answered[a.ID] = &r
	l.tell(r)
}

// tell has a result at the machine, unless it is lost; the worker may have ended
// since.
func (l *living) tell(r protocol.Result) {
	if !l.world.loses(8) {
		l.world.post(LoadResult{r})
	}
}

func (l *living) tellState() {
	w := l.world
	if w.loses(8) {
		return
	}
	s := protocol.WorkerState{ID: l.id, Incarnation: l.life, PageSize: 1, GPUs: []protocol.GPUState{{Type: gpuOf(l.id)}}}
	for _, name := range sortedKeys(l.memory) {
		s.Models = append(s.Models, l.memory[name])
	}
	w.post(WorkerAnswered{s})
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
			if why := seen.lacks[name].Code; why == protocol.ModelUnavailable && w.m.unmeasured(name, &seen.state) != "" {
				w.unmeasured++ // nothing can be measured on a GPU in use
			} else if why != "" {
				w.fail("%s holds %s, and lacks it: %v", id, name, seen.lacks[name])
			}
		}
	}
}
