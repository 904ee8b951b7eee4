package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// ls and state come in pages, each as large as a message may be, up to maxPage. A page begins after the
// key of the last thing on the page before, so that pages stay right while models come and
// workers go.

// leastModel is less than a model takes on a page, in bytes; maxPieceNames bounds the names
// in one piece of a worker, maxPieceText the bytes of what it says of the models it lacks.
const (
	leastModel    = 200
	maxPage       = 1 << 20 // a reader bounds the elements of a page, not only its bytes
	maxPieceNames = 256
	maxPieceText  = 4 << 10
)

// listModels returns a page of the models.
func (l *leader) listModels(ctx context.Context, m *nats.Msg, q protocol.PageRequest) (any, *protocol.Error) {
	list := protocol.ModelList{Models: []protocol.ModelState{}}
	var models []protocol.ModelState
	if !l.inTurn(ctx, func() {
		list.Total = l.machine.ModelCount()
		if q.Name == "" {
			models = l.machine.ModelsAfter(q.After, l.pageLimit(q)+1)
		} else if model, known := l.machine.Model(q.Name); known {
			models = []protocol.ModelState{model}
		}
	}) {
		return nil, protocol.Refusal(protocol.ShuttingDown)
	}
	l.showQuarantined(models)
	return l.fit(m, min(len(models), l.pageLimit(q)), func(n int, lean bool) any {
		page := list
		page.Models = append(page.Models, without(models[:n], lean)...)
		if n < len(models) {
			page.Next = models[n-1].Name
		}
		return page
	})
}

// pageBytes returns how large a page may be on a broker that carries messages of this size.
func pageBytes(message int64) int { return int(min(message, maxPage)) }

// pageLimit returns how many models are considered for a page.
func (l *leader) pageLimit(q protocol.PageRequest) int {
	fits := pageBytes(l.bus.Control.MaxPayload())/leastModel + 1
	if q.Limit > 0 {
		return min(q.Limit, fits)
	}
	return fits
}

// without returns models without their profiles, if lean.
func without(models []protocol.ModelState, lean bool) []protocol.ModelState {
	if !lean {
		return models
	}
	models = slices.Clone(models)
	for i := range models {
		models[i].Profile = nil
	}
	return models
}

// sampleThings is how many things tell how many will fit.
const sampleThings = 16

// fit returns the page with the most of n things that fits into a message. A page with one
// thing is built lean if it does not fit otherwise.
func (l *leader) fit(m *nats.Msg, n int, build func(n int, lean bool) any) (any, *protocol.Error) {
	encoding, limit := wire.EncodingOf(m.Data), pageBytes(l.bus.Control.MaxPayload())
	if n > sampleThings { // most pages are full: begin near what fits
		size := len(wire.EncodeBody(encoding, build(sampleThings, false)))
		n = max(1, min(n, sampleThings*limit/size+1))
	}
	for {
		page := build(n, false)
		size := len(wire.EncodeBody(encoding, page))
		if size <= limit {
			return page, nil
		}
		if n <= 1 {
			break
		}
		n = max(1, min(n-1, n*limit/size))
	}
	if page := build(n, true); len(wire.EncodeBody(encoding, page)) <= limit {
		return page, nil
	}
	return nil, l.tooLarge()
}

// modelKey begins the keys of models in pages of the state; those of workers are before
// them.
const (
	modelKey  = "m/"
	workerKey = "a/"
)

// piece is a part of a worker on a page of the state, after its key.
type piece struct {
	key    string
	worker protocol.WorkerState
}

// describe returns a page of the machine's state, with each worker's own answer.
func (l *leader) describe(ctx context.Context, m *nats.Msg, q protocol.PageRequest) (any, *protocol.Error) {
	s := protocol.StackState{Workers: []protocol.WorkerState{}, Models: []protocol.ModelState{}}
	var workers []protocol.WorkerState
	var models []protocol.ModelState
	after, inModels := strings.CutPrefix(q.After, modelKey)
	if !inModels {
		after = ""
	}
	if !l.inTurn(ctx, func() {
		s.Stage, s.Since, s.ModelCount = max(l.stage, protocol.Querying), l.since, l.machine.ModelCount()
		if left, counting := l.machine.Countdown(clock.Now()); counting {
			ms := protocol.Milliseconds(left)
			s.CountdownMS = &ms
		}
		now := clock.Now()
		s.Profiler, s.FrontDoor, s.Blocked = l.machine.Profiler(now), l.machine.FrontDoor(now), l.machine.Blocked(now)
		workers = l.machine.Workers()
		s.QuarantinedCount = l.countQuarantined(l.machine.Quarantined())
		if !q.Brief && !q.NoModels {
			models = l.machine.ModelsAfter(after, l.pageLimit(q)+1)
		}
	}) {
		return nil, protocol.Refusal(protocol.ShuttingDown)
	}
	s.WorkerCount = len(workers)
	for _, w := range workers {
		s.PageSize = w.PageSize
	}
	l.showQuarantined(models)
	epoch, capacity, state := l.door.Scheduler()
	s.Epoch, s.Scheduler = epoch, state
	s.GPUsServing, s.ModelsServed, s.ModelsUnavailable, s.ModelsRefused = capacity.GPUs, capacity.Models, capacity.Unavailable, capacity.Refused
	if fault := l.storeFault.Load(); fault != nil {
		s.StoreFault = protocol.ShortText(*fault, protocol.MaxText)
	}
	if n, err := l.buffer.Len(ctx); err == nil {
		s.Buffered = n
	}
	var pieces []piece
	if !inModels {
		workers = l.queryWorkers(ctx, workers)
		s.GPUsStalled = stalledGPUs(workers)
	}
	if q.Brief {
		return s, nil
	}
	if !inModels {
		pieces = piecesOf(workers)
		pieces = slices.DeleteFunc(pieces, func(p piece) bool { return p.key <= q.After })
	}
	return l.fit(m, len(pieces)+min(len(models), l.pageLimit(q)), func(n int, lean bool) any {
		page := s
		for _, p := range pieces[:min(n, len(pieces))] {
			page.AppendWorker(p.worker)
		}
		shown := max(0, n-len(pieces))
		page.Models = append(page.Models, without(models[:shown], lean)...)
		switch {
		case n < len(pieces):
			page.Next = pieces[n-1].key
		case shown == len(models): // also where none are asked for
		case shown > 0:
			page.Next = modelKey + models[shown-1].Name
		default:
			page.Next = modelKey
		}
		return page
	})
}

// stalledGPUs counts the GPUs that hang.
func stalledGPUs(workers []protocol.WorkerState) (n int) {
	for _, w := range workers {
		for _, g := range w.GPUs {
			if g.Stalled != "" {
				n++
			}
		}
	}
	return n
}

// piecesOf cuts workers into pieces of few names each, in the order of their keys.
func piecesOf(workers []protocol.WorkerState) []piece {
	var pieces []piece
	for _, w := range workers {
		add := func(part, name string, gpus []protocol.GPUState, lacks []protocol.Lack) {
			p := w
			p.Models, p.Profiles = []protocol.ModelSpec{}, nil // they are in StackState.Models
			p.GPUs, p.Lacks = gpus, lacks
			pieces = append(pieces, piece{fmt.Sprintf("%s%s/%s/%s", workerKey, w.ID, part, name), p})
		}
		for _, g := range w.GPUs {
			names := g.Models
			for {
				g.Models = append([]string{}, names[:min(maxPieceNames, len(names))]...)
				names = names[len(g.Models):]
				first := ""
				if len(g.Models) > 0 {
					first = g.Models[0]
				}
				add(fmt.Sprintf("g%06d", g.ID), first, []protocol.GPUState{g}, nil)
				if len(names) == 0 {
					break
				}
			}
		}
		if len(w.GPUs) == 0 {
			add("a", "", nil, nil)
		}
		for lacks := w.Lacks; len(lacks) > 0; {
			n, text := 0, 0
			for ; n < len(lacks) && (n == 0 || text <= maxPieceText); n++ {
				text += len(lacks[n].Model) + len(lacks[n].Message)
			}
			add("l", lacks[0].Model, nil, lacks[:n:n])
			lacks = lacks[n:]
		}
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return strings.Compare(a.key, b.key) })
	return pieces
}
