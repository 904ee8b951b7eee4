package work

import (
	"maps"
	"slices"

	"clockwork/pkg/protocol"
)

// library is the models in host memory, by name.
type library map[string]*hosted

// hosted is one copy of a model: a name. Copies share what was read from disk.
type hosted struct {
	spec   protocol.ModelSpec
	shared *shared
	orders int // actions under way that need it
}

// shared is a model as the driver holds it.
type shared struct {
	Model
	digest   string
	sizes    []int
	profiles []protocol.Profile
	copies   int
}

func (l library) specs() []protocol.ModelSpec {
	specs := make([]protocol.ModelSpec, 0, len(l))
	for _, name := range slices.Sorted(maps.Keys(l)) {
		specs = append(specs, l[name].spec)
	}
	return specs
}

// profiles returns the measurements that the models carry, once each.
func (l library) profiles() []protocol.Profile {
	var profiles []protocol.Profile
	seen := map[*shared]bool{}
	for _, name := range slices.Sorted(maps.Keys(l)) {
		if m := l[name]; !seen[m.shared] {
			seen[m.shared] = true
			profiles = append(profiles, m.shared.profiles...)
		}
	}
	return profiles
}

// twin finds a model that was read before and serves as well as this one.
func (w *Worker) twin(spec *protocol.ModelSpec) *shared {
	for _, s := range w.read[spec.Digest] {
		if slices.Equal(s.sizes, spec.BatchSizes) {
			return s
		}
	}
	return nil
}

// beginLoad takes a LoadModelFromDisk; a reader takes it in turn. Names that hold
// this very path already are not loaded again.
func (w *Worker) beginLoad(o *Order) *protocol.Error {
	load := o.Action.Load
	if load == nil || len(load.Names) == 0 || load.MaxBatch < 0 || load.MaxExec < 0 {
		return protocol.Errorf(protocol.InvalidAction, "the load has no names, or a negative bound")
	}
	if refused := w.checkNames(load); refused != nil {
		return refused
	}
	if w.loading >= w.config.MaxLoads {
		return protocol.Errorf(protocol.NoMemory, "%d loads are under way already", w.loading)
	}
	w.loading++
	w.unread = append(w.unread, o)
	w.giveReaders()
	return nil
}

// checkNames says why the names of a load cannot have its model, nil if they can. It is
// asked when the load comes and again when the model is read: other loads may have
// taken the names or the room meanwhile.
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

// giveReaders gives free readers the loads that wait longest: reading and optimising burn
// the CPU that feeds the GPUs, so the readers are few.
func (w *Worker) giveReaders() {
	for len(w.unread) > 0 && w.reading < w.config.ConcurrentLoads {
		w.reading++
		w.out.Read = append(w.out.Read, w.unread[0])
		w.unread = w.unread[1:]
	}
}

// modelRead keeps a model that was read and answers its load.
func (w *Worker) modelRead(e *ModelRead) {
	o := e.Order
	o.Begin, o.End = e.Begin, e.End
	o.Exec = protocol.Phase{Begin: e.Begin, End: e.End, Device: e.End.Sub(e.Begin)}
	w.loading--
	w.reading--
	w.giveReaders()
	if e.Refused != nil {
		w.answer(o, e.Refused)
		return
	}
	if refused := w.checkNames(o.Action.Load); refused != nil {
		w.out.Close = append(w.out.Close, &Model{o.Number, e.Handle})
		w.answer(o, refused)
		return
	}
	r := w.result(o, nil)
	r.Loaded, r.Profiles = w.keep(o, e), e.Profiles
	w.give(o, &r)
	w.out.Loaded = append(w.out.Loaded, o)
}

// keep puts a model into host memory under the names that do not have it yet, and
// returns all that the load asked for. A twin serves instead where there is one.
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

// forget removes models from host memory; unknown ones are gone already.
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

// remove drops a copy, and the model with the last one.
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

// resident reports whether a GPU has the weights of a model, or is about to.
func (w *Worker) resident(name string) bool {
	return slices.ContainsFunc(w.gpus, func(g *gpu) bool { return g.pages.Holds(name) })
}
