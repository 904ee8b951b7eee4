//go:build linux && !static

package onnx

import (
	"context"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// load does the work of LoadModel. The error is nil or has one of its codes.
func (b *Backend) load(ctx context.Context, path string, options backend.LoadOptions) (*model, *protocol.Error) {
	src, refusal := readSource(b.options.ModelRoot, path, pin{options.Version, options.Digest}, b.options.MaxFile, &b.cache)
	if refusal != nil {
		return nil, refusal
	}
	late := b.options.deadlineOf(options)
	graph, unfit, refusal := b.optimized(ctx, src, late)
	src.close()
	if refusal != nil {
		return nil, together(refusal, unfit)
	}
	limit := src.config.maxBatch
	if options.MaxBatch > 0 {
		limit = min(limit, options.MaxBatch)
	}
	m, refusal := b.externalize(graph)
	graph.close()
	if refusal != nil {
		return nil, together(refusal, unfit)
	}
	m.spec.Path, m.spec.Version, m.spec.Digest = path, src.version, src.digest
	m.deadline = late
	if unfit != nil {
		_, refusal = m.try(ctx, src.config, limit) // for what else may be wrong with it
		refusal = together(refusal, unfit)
	} else {
		refusal = m.prepare(ctx, src, limit)
	}
	switch {
	case refusal == nil:
		return m, nil
	case ctx.Err() != nil:
		b.releasing.Go(m.release) // an executor may still be opening it
	default:
		m.release()
	}
	return nil, refusal
}

// together adds a problem of a model to its refusal, or is the refusal if there is no other:
// whoever mends a model learns all that is wrong with it. A failure that is not the model's
// comes alone.
func together(refusal, problem *protocol.Error) *protocol.Error {
	if refusal == nil {
		return problem
	}
	if problem != nil && refusal.Code != protocol.BackendError && refusal.Code != protocol.NoMemory {
		refusal.Message += "; " + problem.Message
	}
	return refusal
}

// fitHead returns why the head in model.yaml does not fit the model, nil if it does. Then the
// model is tried without, for what else may be wrong with it.
func (s *source) fitHead() (unfit, refusal *protocol.Error) {
	if s.config.head != headArgmax {
		return nil, nil
	}
	bytes, refusal := s.read()
	if refusal != nil || outputCount(bytes) < 2 {
		return nil, refusal
	}
	s.config.head = ""
	return protocol.Errorf(protocol.UnsupportedModel, "the argmax head in model.yaml needs a model with one output"), nil
}

// optimized returns the model's optimised graph, from the cache or newly made, and why the
// head in model.yaml does not fit it, if it does not.
func (b *Backend) optimized(ctx context.Context, src *source, late deadline) (graph *region, unfit, refusal *protocol.Error) {
	if unfit, refusal = src.fitHead(); refusal != nil {
		return nil, nil, refusal
	}
	graph, refusal = b.graphOf(ctx, src, late)
	return graph, unfit, refusal
}

// graphOf is optimized of a model whose head fits. Only models that passed every check have
// a cached graph. Only the child's ORT opens the model's own file; the child's graph is
// inspected again.
func (b *Backend) graphOf(ctx context.Context, src *source, late deadline) (*region, *protocol.Error) {
	limit := b.graphLimit(src.length)
	path := b.cache.graphPath(src.sum, src.config.head)
	if graph := b.cache.graph(path, limit); graph != nil {
		return graph, nil
	}
	bytes, refusal := src.read()
	if refusal == nil {
		refusal = inspect(bytes)
	}
	if refusal != nil {
		return nil, refusal
	}
	if src.config.head == headArgmax {
		headed, err := appendHead(bytes)
		if err != nil {
			return nil, protocol.Errorf(protocol.ModelCorrupt, "append head: %v", err)
		}
		bytes = headed
	}
	graph, refusal := b.optimizeInChild(ctx, bytes, limit, late)
	if refusal != nil {
		return nil, refusal
	}
	if refusal = inspect(graph.bytes()); refusal == nil {
		if failure := b.cache.keep(path, graph.bytes()); failure != nil {
			refusal = protocol.Errorf(protocol.BackendError, "keep the optimised model: %v", failure)
		}
	}
	if refusal != nil {
		graph.close()
		return nil, refusal
	}
	return graph, nil
}

// graphLimit returns how large an optimised graph may be: its weights can be no larger
// than a device's memory, and everything else comes from the file. A small file could
// otherwise produce a huge graph.
func (b *Backend) graphLimit(file int64) int64 {
	return min(int64(b.options.Pages)*b.options.PageSize+file+graphSlack, DefaultMaxFile)
}

// graphSlack is the allowance for names and nodes that ORT adds, in bytes.
const graphSlack = 4 << 20

// externalize makes a model's image of its optimised graph.
func (b *Backend) externalize(graph *region) (*model, *protocol.Error) {
	l, err := externalizeWeights(graph.bytes())
	if err != nil {
		return nil, protocol.Errorf(protocol.ModelCorrupt, "move weights out of the graph: %v", err)
	}
	pages := protocol.PagesFor(l.size, b.options.PageSize)
	if pages > b.options.Pages { // before its weights are kept in memory
		refusal := protocol.Errorf(protocol.ModelTooLarge, "the weights take %d pages, a device has %d", pages, b.options.Pages)
		refusal.Got, refusal.Limit = int64(pages), int64(b.options.Pages)
		return nil, refusal
	}
	m := &model{backend: b, id: b.ids.Add(1), places: make([]place, b.options.GPUs)}
	var refusal *protocol.Error
	if m.image, refusal = newImage(&l); refusal != nil {
		return nil, refusal
	}
	m.spec = protocol.ModelSpec{Backend: b.Name(), BackendVersion: b.Version(), WeightsBytes: l.size, Pages: pages}
	return m, nil
}

// described returns what a trial of the model found, now or before: a model that is known
// is not tried again.
func (m *model) described(ctx context.Context, src *source, limit int) (*description, *protocol.Error) {
	kept := &m.backend.cache
	path := kept.trialPath(src.sum, src.config, limit)
	if found := kept.trial(path, limit); found != nil {
		return found, nil
	}
	found, refusal := m.try(ctx, src.config, limit)
	if refusal != nil {
		return nil, refusal
	}
	if err := kept.keepTrial(path, found); err != nil {
		return nil, protocol.Errorf(protocol.BackendError, "keep what the trial of the model found: %v", err)
	}
	return found, nil
}

// prepare finds the model's description, and makes the model ready in every executor.
func (m *model) prepare(ctx context.Context, src *source, limit int) *protocol.Error {
	found, refusal := m.described(ctx, src, limit)
	if refusal != nil {
		return refusal
	}
	m.description = *found
	m.spec.Inputs, m.spec.Outputs = found.Spec.Inputs, found.Spec.Outputs
	m.spec.BatchSizes, m.spec.AnyBatch, m.spec.Mixes = found.Spec.BatchSizes, found.Spec.AnyBatch, found.Spec.Mixes
	m.spec.NoBatch, m.spec.Notes = found.Spec.NoBatch, src.notes(m.spec.Path)
	m.generated = generate(m.spec.Inputs)
	outcomes := make(chan *protocol.Error, len(m.backend.devices))
	for _, d := range m.backend.devices {
		go func() { outcomes <- d.executor.add(ctx, m) }()
	}
	var first *protocol.Error
	for range m.backend.devices {
		if refusal := <-outcomes; first == nil {
			first = refusal
		}
	}
	return first
}
