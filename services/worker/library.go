package worker

import (
	"log/slog"
	"maps"
	"slices"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
)

// library is the models in host memory, by name.
type library map[string]*hosted

// hosted is one copy of a model: a name. Copies share what was read from disk.
type hosted struct {
	spec   protocol.ModelSpec
	shared *shared
	// orders counts the actions under way that need it.
	orders int
}

// shared is a model as the backend holds it.
type shared struct {
	backend.Model
	copies int
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
			profiles = append(profiles, m.shared.Profiles()...)
		}
	}
	return profiles
}

// add makes copies of a model under names. A model of the same digest that is
// there already serves them too; then the new one is closed.
func (l library) add(model backend.Model, names []string, log *slog.Logger) []protocol.ModelSpec {
	s := &shared{Model: model}
	digest := model.Spec().Digest
	for _, m := range l {
		if m.spec.Digest == digest && slices.Equal(m.spec.BatchSizes, model.Spec().BatchSizes) {
			s = m.shared
			closeModel(model, log)
			break
		}
	}
	var specs []protocol.ModelSpec
	for _, name := range names {
		spec := model.Spec()
		spec.Name = name
		s.copies++
		l[name] = &hosted{spec: spec, shared: s}
		specs = append(specs, spec)
	}
	return specs
}

// remove drops a copy, and the model with the last one.
func (l library) remove(name string, log *slog.Logger) {
	m := l[name]
	if m == nil {
		return
	}
	delete(l, name)
	if m.shared.copies--; m.shared.copies == 0 {
		closeModel(m.shared.Model, log)
	}
}

func (l library) close(log *slog.Logger) {
	for _, name := range slices.Sorted(maps.Keys(l)) {
		l.remove(name, log)
	}
}

func closeModel(m backend.Model, log *slog.Logger) {
	if err := m.Close(); err != nil {
		log.Error("model not closed", "path", m.Spec().Path, "error", err)
	}
}

// maxLoads bounds the loads that are under way or wait for their turn.
const maxLoads = 256

// beginLoad starts a LoadModelFromDisk. Names that hold this very path already
// are not loaded again.
func (a *agent) beginLoad(o *order) *protocol.Error {
	load := o.action.Load
	if load == nil || len(load.Names) == 0 || load.MaxBatch < 0 || load.MaxExec < 0 {
		return protocol.Errorf(protocol.InvalidAction, "a load without names, or with a negative bound")
	}
	missing := 0
	for i, name := range load.Names {
		if !protocol.ValidName(name) || slices.Contains(load.Names[:i], name) {
			return protocol.Errorf(protocol.InvalidAction, "%.80q is no name, or stands twice", name)
		}
		if m := a.library[name]; m == nil {
			missing++
		} else if m.spec.Path != load.Path {
			return protocol.Errorf(protocol.InvalidAction, "%s is the name of another model, from %.200q", name, m.spec.Path)
		}
	}
	if n := len(a.library) + missing; n > a.config.MaxModels {
		return protocol.Errorf(protocol.NoMemory, "%d models would be in memory; the limit is %d", n, a.config.MaxModels)
	}
	if a.loading >= maxLoads {
		return protocol.Errorf(protocol.NoMemory, "%d loads are under way already", a.loading)
	}
	a.loading++
	a.work.Go(func() { a.load(o) })
	return nil
}

// load reads a model from disk and answers.
func (a *agent) load(o *order) {
	a.loads <- struct{}{}
	defer func() { <-a.loads }()
	o.begin = clock.Now()
	options := backend.LoadOptions{MaxBatch: o.action.Load.MaxBatch, PageSize: a.pageSize()}
	model, err := a.backend.LoadModel(a.ctx, o.action.Load.Path, options)
	o.finished()
	a.mu.Lock()
	defer a.unlock()
	a.loading--
	if err != nil {
		a.answer(o, refusal(err))
		return
	}
	loaded := a.keep(o, model)
	r := a.result(o, nil)
	r.Loaded, r.Profiles = loaded, model.Profiles()
	a.give(o, r)
	a.bus.Log.Info("model loaded", "path", o.action.Load.Path, "copies", len(loaded), "pages", loaded[0].Pages, "took", o.exec.Device)
}

// keep puts a model that was read into the library, under the names that do
// not have it yet, and returns all that the load asked for.
func (a *agent) keep(o *order, model backend.Model) []protocol.ModelSpec {
	var missing []string
	for _, name := range o.action.Load.Names {
		if a.library[name] == nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		closeModel(model, a.bus.Log)
	} else {
		a.library.add(model, missing, a.bus.Log)
	}
	specs := make([]protocol.ModelSpec, 0, len(o.action.Load.Names))
	for _, name := range o.action.Load.Names {
		specs = append(specs, a.library[name].spec)
	}
	return specs
}

func (a *agent) pageSize() int64 {
	if len(a.gpus) == 0 {
		return 0
	}
	return a.gpus[0].info.PageSize
}
