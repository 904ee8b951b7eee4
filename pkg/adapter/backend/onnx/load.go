//go:build linux && !static

package onnx

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/protocol"
)

// load does the work of LoadModel. The error is nil or has one of its codes.
func (b *Backend) load(ctx context.Context, path string, options backend.LoadOptions) (*model, error) {
	src, err := readSource(b.options.ModelRoot, path, b.options.MaxFile)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(src.bytes())
	graph, err := b.optimized(ctx, src, sum)
	src.model.close()
	if err != nil {
		return nil, err
	}
	m, err := b.shell(graph)
	graph.close()
	if err != nil {
		return nil, err
	}
	all := sha256.Sum256(append(sum[:], src.text...))
	m.spec.Path, m.spec.Digest = path, hex.EncodeToString(all[:])
	limit := src.config.maxBatch
	if options.MaxBatch > 0 {
		limit = min(limit, options.MaxBatch)
	}
	if err := m.prepare(ctx, src.config, limit); err != nil {
		m.release()
		return nil, err
	}
	return m, nil
}

// optimized returns the model's optimised graph, from the cache or newly made. Only
// models that passed every check have a cached graph. Only the child's ORT opens the
// model's own file; the child's graph is inspected again.
func (b *Backend) optimized(ctx context.Context, src *source, sum [sha256.Size]byte) (*region, *protocol.Error) {
	limit := b.graphLimit(src.length)
	path := b.cache.path(sum, src.config.head)
	if graph := b.cache.load(path, limit); graph != nil {
		return graph, nil
	}
	if err := inspect(src.bytes()); err != nil {
		return nil, err
	}
	bytes := src.bytes()
	if src.config.head == headArgmax {
		headed, err := appendHead(bytes)
		if err != nil {
			return nil, protocol.Errorf(protocol.ModelCorrupt, "append head: %v", err)
		}
		bytes = headed
	}
	graph, err := b.optimize(ctx, bytes, limit)
	if err != nil {
		return nil, err
	}
	if err = inspect(graph.bytes()); err == nil {
		if failure := b.cache.keep(path, graph.bytes()); failure != nil {
			err = protocol.Errorf(protocol.BackendError, "keep the optimised model: %v", failure)
		}
	}
	if err != nil {
		graph.close()
		return nil, err
	}
	return graph, nil
}

func (b *Backend) optimize(ctx context.Context, model []byte, limit int64) (*region, *protocol.Error) {
	if len(b.options.Checker) > 0 {
		return b.optimizeInChild(ctx, model, limit)
	}
	return b.optimizeHere(model, limit)
}

// graphLimit returns how large an optimised graph may be: its weights can be no larger
// than a device's memory, and everything else comes from the file. A small file could
// otherwise produce a huge graph.
func (b *Backend) graphLimit(file int64) int64 {
	return min(int64(b.options.Pages)*b.options.PageSize+file+graphSlack, DefaultMaxFile)
}

// graphSlack is the allowance for names and nodes that ORT adds, in bytes.
const graphSlack = 4 << 20

// shell externalizes the weights of an optimised graph into a block and creates the
// session that takes them as inputs.
func (b *Backend) shell(graph *region) (*model, *protocol.Error) {
	l, err := externalizeWeights(graph.bytes())
	if err != nil {
		return nil, protocol.Errorf(protocol.ModelCorrupt, "move weights out of the graph: %v", err)
	}
	pages := pagesFor(l.size, b.options.PageSize)
	if pages > b.options.Pages {
		refusal := protocol.Errorf(protocol.ModelTooLarge, "the weights take %d pages, a device has %d", pages, b.options.Pages)
		refusal.Got, refusal.Limit = int64(pages), int64(b.options.Pages)
		return nil, refusal
	}
	block, err := newRegion(l.size, true)
	if err != nil {
		return nil, protocol.Errorf(protocol.NoMemory, "%v", err)
	}
	l.fill(block.bytes())
	for i := range l.weights {
		l.weights[i].data = block.bytes()[l.weights[i].offset:][:len(l.weights[i].data)]
	}
	m := &model{backend: b, weights: l.weights, block: block, places: make([]place, b.options.GPUs)}
	m.spec = protocol.ModelSpec{Backend: b.Name(), BackendVersion: b.Version(), WeightsBytes: l.size, Pages: pages}
	if m.session, err = newSession(b.lib, l.shell, optimizeNothing, ""); err != nil {
		block.close()
		return nil, protocol.Errorf(protocol.BackendError, "ONNX Runtime refuses the model without its weights: %v", err)
	}
	return m, nil
}

// prepare fixes shapes, warms every batch size twice, and creates a mapping on each
// device, so that a later LoadWeights needs no allocation.
func (m *model) prepare(ctx context.Context, c config, limit int) error {
	batches, err := m.describeInputs(c, limit)
	if err != nil {
		return err
	}
	resident, failure := m.bind(m.block)
	defer func() { m.backend.lib.releaseValues(resident) }()
	if failure != nil {
		return protocol.Errorf(protocol.BackendError, "bind weights: %v", failure)
	}
	for _, batch := range batches {
		if ctx.Err() != nil {
			return protocol.Errorf(protocol.BackendError, "the load was cancelled")
		}
		if err := m.describeOutputs(batch, resident); err != nil {
			return err
		}
		s, failure := m.newStage(batch)
		if failure != nil {
			return protocol.Errorf(protocol.NoMemory, "stage batch %d: %v", batch, failure)
		}
		m.fillGenerated(s, batch)
		failure = m.run(s, resident)
		m.putStage(0, s)
		if failure != nil {
			return protocol.Errorf(protocol.BackendError, "warm batch %d: %v", batch, failure)
		}
	}
	m.spec.BatchSizes = batches
	for i := range m.places {
		v, failure := m.newMapping()
		if failure != nil {
			return protocol.Errorf(protocol.NoMemory, "reserve memory for weights: %v", failure)
		}
		m.putMapping(i, v)
	}
	return nil
}
