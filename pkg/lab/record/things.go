package record

import (
	"fmt"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/work"
)

// things are what a core gives out for its driver to do something with, and hears of
// again: a front door's requests, a worker's orders. An event is about one of them; a
// recording names it by its number, and a replay finds it in what the core has given out
// again. Each errand ends with one event, so that a thing is found once for each.
type things[Event, Output, Thing any] struct {
	// in is where an event has its thing, and the errand that ends; nil of an event that
	// is about none.
	in func(Event) (field **Thing, errand string)
	// given calls for each thing of an output that an event is due of.
	given  func(out Output, call func(errand string, t *Thing))
	number func(*Thing) uint64
}

// requests are a front door's.
var requests = things[frontdoor.Event, *frontdoor.Output, frontdoor.Request]{
	number: func(r *frontdoor.Request) uint64 { return r.Number },
	in: func(e frontdoor.Event) (**frontdoor.Request, string) {
		switch e := e.(type) {
		case *frontdoor.Decoded:
			return &e.Request, "decode"
		case *frontdoor.Undecoded:
			return &e.Request, "decode"
		case *frontdoor.Stored:
			return &e.Request, "store"
		}
		return nil, ""
	},
	given: func(out *frontdoor.Output, call func(string, *frontdoor.Request)) {
		if out.Admitted != nil {
			call("decode", out.Admitted)
		}
		if out.Store != nil {
			call("store", out.Store)
		}
	},
}

// orders are a worker's.
var orders = things[work.Event, *work.Output, work.Order]{
	number: func(o *work.Order) uint64 { return uint64(o.Number) },
	in: func(e work.Event) (**work.Order, string) {
		switch e := e.(type) {
		case *work.Staged:
			return &e.Order, "stage"
		case *work.Executed:
			return &e.Order, "execute"
		case *work.Fetched:
			return &e.Order, "fetch"
		case *work.Transferred:
			return &e.Order, "transfer"
		case *work.ModelRead:
			return &e.Order, "read"
		}
		return nil, ""
	},
	given: func(out *work.Output, call func(string, *work.Order)) {
		each := func(errand string, list []*work.Order) {
			for _, o := range list {
				call(errand, o)
			}
		}
		each("stage", out.Stage)
		each("execute", out.Execute)
		each("fetch", out.Fetch)
		each("transfer", out.Transfer)
		each("read", out.Read)
	},
}

// owed are the things that an event is due of, by errand and number.
type owed[Thing any] map[errandOf]*Thing

type errandOf struct {
	errand string
	number uint64
}

func (o owed[Thing]) add(errand string, number uint64, t *Thing) { o[errandOf{errand, number}] = t }

// take returns a thing that was given out to an errand and not heard of since, nil if
// there is none.
func (o owed[Thing]) take(errand string, number uint64) *Thing {
	t := o[errandOf{errand, number}]
	delete(o, errandOf{errand, number})
	return t
}

func newFrontDoor(c frontdoor.Config) (*frontdoor.Machine, error) { return frontdoor.New(c), nil }

// Bounds of what a worker's config may ask for: each page and lane takes memory.
const (
	maxGPUs  = 1 << 12
	maxPages = 1 << 24
)

func newWorker(c work.Config) (*work.Worker, error) {
	pages := 0
	for _, g := range c.GPUs {
		if g.Pages < 0 || g.Pages > maxPages-pages {
			return nil, fmt.Errorf("a worker's GPUs have more than %d pages, or fewer than none", maxPages)
		}
		pages += g.Pages
	}
	if len(c.GPUs) > maxGPUs {
		return nil, fmt.Errorf("a worker has %d GPUs; at most %d are run again", len(c.GPUs), maxGPUs)
	}
	return work.New(c), nil
}
