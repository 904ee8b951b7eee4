package recorder

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/core/work"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/protocol"
)

// Direct records all cores but the scheduler's, each event within its step, so that what was
// decided before a crash is in the file. An event costs 10 to 20 microseconds: little for cores
// with a thousand events a second, and the larger part of the time of a busy front door, which
// is recorded only if somebody asks for it. Machines of one process may share one. Any goroutine
// may call it; it never waits for the disk. After its first error it writes nothing more.
type Direct struct {
	mu     sync.Mutex
	writer *record.Writer
	err    error
}

// NewDirect begins a recording.
func NewDirect(to io.Writer) (*Direct, error) {
	w, err := record.NewWriter(to)
	return &Direct{writer: w}, err
}

// Each observer records one machine after the other, as they begin; machines that work beside
// each other have one each.

// Startup is an observer of a controller's startup machines.
func (d *Direct) Startup() startup.Observer {
	return &direct[startup.Config, startup.Event, startup.Output]{to: d, core: "startup"}
}

// Measure is an observer of a profiler's machine.
func (d *Direct) Measure() measure.Observer {
	return &direct[measure.Config, measure.Event, measure.Output]{to: d, core: "measure"}
}

// FrontDoor is an observer of a front door's machine. What clients send and are
// answered is not written, only how long it is.
func (d *Direct) FrontDoor() frontdoor.Observer {
	return &direct[frontdoor.Config, frontdoor.Event, frontdoor.Output]{to: d, core: "frontdoor"}
}

// Work is an observer of a worker's machine.
func (d *Direct) Work() work.Observer {
	return &direct[work.Config, work.Event, work.Output]{to: d, core: "work"}
}

// Close says that the recording is whole, and what went wrong with it.
func (d *Direct) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := errors.Join(d.err, d.writer.Close()); err != nil {
		return fmt.Errorf("end recording: %w", err)
	}
	return nil
}

// write calls f, then has what it wrote in the file.
func (d *Direct) write(f func(*record.Writer) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return
	}
	if d.err = f(d.writer); d.err == nil {
		d.err = d.writer.Flush()
	}
}

// direct is an observer of machines of one core; machine is the number of the last one.
type direct[Config, Event, Output any] struct {
	to      *Direct
	core    string
	machine int
}

// Begin implements observe.Observer.
func (o *direct[Config, Event, Output]) Begin(c Config) {
	o.to.write(func(w *record.Writer) error {
		err := w.Begin(o.core, c)
		o.machine = w.Selected()
		return err
	})
}

// Step implements observe.Observer.
func (o *direct[Config, Event, Output]) Step(now protocol.Time, e Event, out *Output) {
	o.to.write(func(w *record.Writer) error {
		w.Select(o.machine)
		return w.Step(now, e, out)
	})
}
