package work

import (
	"maps"
	"slices"

	"clockwork/pkg/protocol"
)

// library holds the models in host memory, by name; at most MaxModels.
type library map[string]*hosted

// hosted is one copy of a model, under its own name. Copies of equal files share one
// model in host memory; each has its own weights on the GPUs.
type hosted struct {
	spec   protocol.ModelSpec
	shared *shared
	// orders counts the orders of this copy that have no result or are being staged;
	// > 0 keeps the copy in host memory.
	orders int
}

// shared is a model that was read from disk. It is in Worker.read while copies > 0 and
// is closed when copies returns to 0.
type shared struct {
	Model
	// digest and sizes (the compiled batch sizes) decide which later reads are equal to
	// this one.
	digest string
	sizes  []int
	// profiles are the measurements stored with the model, for GetWorkerState.
	profiles []protocol.Profile
	// copies counts the names in the library that share the model.
	copies int
}

// contents returns the models that are not leaving, sorted by name, and the measurements
// stored with them, once for each shared model.
func (l library) contents(leaving map[string]bool) (specs []protocol.ModelSpec, profiles []protocol.Profile) {
	specs = make([]protocol.ModelSpec, 0, len(l))
	seen := map[*shared]bool{}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if leaving[name] {
			continue
		}
		m := l[name]
		specs = append(specs, m.spec)
		if len(m.shared.profiles) > 0 && !seen[m.shared] {
			seen[m.shared] = true
			profiles = append(profiles, m.shared.profiles...)
		}
	}
	return specs, profiles
}

// twin returns a model that was read before and equals this one, nil for none: same
// digest and same batch sizes.
func (w *Worker) twin(spec *protocol.ModelSpec) *shared {
	for _, s := range w.read[spec.Digest] {
		if slices.Equal(s.sizes, spec.BatchSizes) {
			return s
		}
	}
	return nil
}

// beginLoad queues a LoadModelFromDisk for a reader. The model is read even if all
// names hold it already; they keep the model they have. A load that only compares keeps
// nothing.
func (w *Worker) beginLoad(o *Order) *protocol.Error {
	load := o.Action.Load
	if load == nil || len(load.Names) == 0 || load.MaxBatch < 0 || load.MaxExec < 0 || load.Within < 0 {
		return protocol.Errorf(protocol.InvalidAction, "the load has no names, or a negative bound")
	}
	if refusal := w.checkNames(load); refusal != nil {
		return refusal
	}
	if w.loading >= w.config.MaxLoads {
		return protocol.Errorf(protocol.NoMemory, "%d loads are under way already", w.loading)
	}
	o.due = protocol.Never
	if load.Within > 0 {
		o.due = w.now.Add(min(load.Within, maxAfter))
	}
	w.loading++
	w.unread = append(w.unread, o)
	w.giveReaders()
	w.out.Wake = min(w.out.Wake, o.due)
	return nil
}

// checkNames returns why a load's model cannot be kept under its names, nil if it can.
// It is called when the load arrives and again when the model was read, because other
// loads may have taken a name or the last free place meanwhile.
func (w *Worker) checkNames(load *protocol.LoadSpec) *protocol.Error {
	missing := 0
	names := make(map[string]bool, len(load.Names))
	for _, name := range load.Names {
		if !protocol.ValidName(name) || names[name] {
			return protocol.Errorf(protocol.InvalidAction, "%.80q is not a valid name, or is listed twice", name)
		}
		names[name] = true
		if m := w.library[name]; m == nil {
			missing++
		} else if m.spec.Path != load.Path {
			return protocol.Errorf(protocol.InvalidAction, "%s is the name of another model, from %.200q", name, m.spec.Path)
		}
	}
	if n := len(w.library) + missing; n > w.config.MaxModels {
		return protocol.Errorf(protocol.NoMemory, "%d models would be in memory; the limit is %d", n, w.config.MaxModels)
	}
	return nil
}

// giveReaders outputs the loads that have waited longest while readers are free. There
// are few readers, because reading and optimising a model uses CPU time that the GPUs'
// copies need. A load of a model that a ClearCache is still to remove waits for its end.
func (w *Worker) giveReaders() {
	if len(w.unread) == 0 {
		return
	}
	leaving := w.leaving()
	for i := 0; i < len(w.unread) && w.readerFree(); {
		o := w.unread[i]
		if load := o.Action.Load; !load.Compare && slices.ContainsFunc(load.Names, func(n string) bool { return leaving[n] }) {
			i++
			continue
		}
		o.slow = w.now.Add(w.config.SlowLoad)
		w.reading = append(w.reading, o)
		w.out.Read = append(w.out.Read, o)
		w.unread = slices.Delete(w.unread, i, i+1)
	}
}

// readerFree reports whether another model may be read: slow ones keep a reader from others,
// but not all of them. If none is free, the driver is to wake when the next load is slow.
func (w *Worker) readerFree() bool {
	most, quick, next := w.config.ConcurrentLoads, 0, protocol.Never
	for _, o := range w.reading {
		if o.slow > w.now {
			quick++
			next = min(next, o.slow)
		}
	}
	if quick < most && len(w.reading) < 2*most {
		return true
	}
	w.out.Wake = min(w.out.Wake, next)
	return false
}

// expireLoads ends the loads that their issuers have given up. One that waits for a reader is
// answered; one that is being read keeps its reader until the driver has ended it.
func (w *Worker) expireLoads() {
	w.unread = slices.DeleteFunc(w.unread, func(o *Order) bool {
		if o.due > w.now {
			w.out.Wake = min(w.out.Wake, o.due)
			return false
		}
		w.loading--
		w.answer(o, o.tooLong())
		return true
	})
	for _, o := range w.reading {
		if o.due <= w.now {
			o.due, o.givenUp = protocol.Never, true
			w.out.GivenUp = append(w.out.GivenUp, o)
		}
		w.out.Wake = min(w.out.Wake, o.due)
	}
}

// tooLong is the refusal of a load that its issuer has given up.
func (o *Order) tooLong() *protocol.Error {
	return protocol.Errorf(protocol.TooLate, "the load was not done within %v", o.Action.Load.Within)
}

// modelRead keeps a model that was read and answers its load.
func (w *Worker) modelRead(e *ModelRead) {
	o := e.Order
	o.Begin, o.End = e.Begin, e.End
	o.Exec = protocol.Phase{Begin: e.Begin, End: e.End, Device: e.End.Sub(e.Begin)}
	w.loading--
	w.reading = slices.DeleteFunc(w.reading, func(other *Order) bool { return other == o })
	w.giveReaders()
	if refusal := e.Refusal; refusal != nil {
		if o.givenUp {
			refusal = o.tooLong()
		}
		w.answer(o, refusal)
		return
	}
	if o.Action.Load.Compare {
		r := w.result(o, nil)
		r.Loaded = []protocol.ModelSpec{e.Spec}
		w.give(o, &r)
		return
	}
	refusal := w.stale(&o.Action)
	if refusal == nil && o.givenUp {
		refusal = o.tooLong()
	}
	if refusal == nil {
		refusal = w.checkNames(o.Action.Load)
	}
	if refusal != nil {
		w.out.Close = append(w.out.Close, &Model{o.Number, e.Handle})
		w.answer(o, refusal)
		return
	}
	r := w.result(o, nil)
	r.Loaded, r.Profiles = w.keep(o, e), e.Profiles
	w.give(o, &r)
	w.out.Loaded = append(w.out.Loaded, o)
}

// keep adds a model to the library under those names of the load that are not in it, and
// returns the specs of all names. If a twin exists, the names share the twin, and the
// model just read is closed.
func (w *Worker) keep(o *Order, e *ModelRead) []protocol.ModelSpec {
	s := w.twin(&e.Spec)
	if s == nil {
		s = &shared{Model: Model{o.Number, e.Handle}, digest: e.Spec.Digest, sizes: e.Spec.BatchSizes, profiles: e.Profiles}
	}
	for _, name := range o.Action.Load.Names {
		if w.library[name] == nil {
			spec := e.Spec
			spec.Name = name
			if s.copies++; s.copies == 1 {
				w.read[s.digest] = append(w.read[s.digest], s)
			}
			w.library[name] = &hosted{spec: spec, shared: s}
		}
	}
	if s.copies == 0 || s.Number != o.Number {
		w.out.Close = append(w.out.Close, &Model{o.Number, e.Handle})
	}
	specs := make([]protocol.ModelSpec, 0, len(o.Action.Load.Names))
	for _, name := range o.Action.Load.Names {
		specs = append(specs, w.library[name].spec)
	}
	return specs
}

// forget removes models from host memory; unknown names are ignored. If an order or a
// GPU still needs one of the models, it returns WEIGHTS_IN_USE and removes none.
func (w *Worker) forget(names []string) *protocol.Error {
	for _, name := range names {
		if m := w.library[name]; m != nil && (m.orders > 0 || w.resident(name)) {
			return protocol.Errorf(protocol.WeightsInUse, "%s is needed by %d actions", name, m.orders)
		}
	}
	for _, name := range names {
		w.remove(name)
	}
	return nil
}

// remove removes a copy, and closes the model if that was its last copy.
func (w *Worker) remove(name string) {
	m := w.library[name]
	if m == nil {
		return
	}
	delete(w.library, name)
	s := m.shared
	if s.copies--; s.copies > 0 {
		return
	}
	w.out.Close = append(w.out.Close, &s.Model)
	if w.read[s.digest] = slices.DeleteFunc(w.read[s.digest], func(other *shared) bool { return other == s }); len(w.read[s.digest]) == 0 {
		delete(w.read, s.digest)
	}
}

// resident reports whether a GPU has pages for a model: loading, loaded or evicting.
func (w *Worker) resident(name string) bool {
	return slices.ContainsFunc(w.gpus, func(g *gpu) bool { return g.pages.Holds(name) })
}
