package journal

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"sync"

	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/core/measure"
	"clockwork/pkg/core/startup"
	"clockwork/pkg/core/work"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/protocol"
)

// header is the first line of a file; the number is the version.
const (
	format = "clockwork-journal "
	header = format + "2\n"
)

// line is one line after the header: a machine begins, is given an event, or the
// journal is closed.
type line struct {
	// Machine counts those that begin, from 1.
	Machine int             `json:"machine,omitempty"`
	Begin   string          `json:"begin,omitempty"` // the core
	Config  json.RawMessage `json:"config,omitempty"`

	Now   protocol.Time `json:"now,omitempty"`
	Event string        `json:"event,omitempty"` // its type
	// About is the number of the thing that the event is about; Bytes says that each
	// rune of its strings is a byte.
	About uint64          `json:"about,omitempty"`
	Bytes bool            `json:"bytes,omitempty"`
	Of    json.RawMessage `json:"of,omitempty"`
	Hash  Hash            `json:"hash,omitempty"` // of all outputs of this machine so far

	Closed bool `json:"closed,omitempty"`
}

// Hash tells two histories of decisions apart; 0 is of a machine that has decided
// nothing.
type Hash uint64

// MarshalText writes 16 hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%016x", uint64(h)), nil }

// UnmarshalText reads them.
func (h *Hash) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%016x", (*uint64)(h))
	return err
}

func (h Hash) String() string { return fmt.Sprintf("%016x", uint64(h)) }

// add folds an output into the hash.
func (h *Hash) add(out any) error {
	written, err := json.Marshal(out)
	if err != nil {
		return err
	}
	sum := fnv.New64a()
	fmt.Fprintf(sum, "%016x", uint64(*h))
	_, _ = sum.Write(written) // it cannot fail
	*h = Hash(sum.Sum64())
	return nil
}

// Writer writes a journal. After its first error it writes nothing more.
type Writer struct {
	mu       sync.Mutex
	to       io.Writer
	machines int
	err      error
}

// NewWriter begins a journal.
func NewWriter(to io.Writer) (*Writer, error) {
	if _, err := io.WriteString(to, header); err != nil {
		return nil, fmt.Errorf("write journal: %w", err)
	}
	return &Writer{to: to}, nil
}

// Each observer writes down one machine after the other, as they begin; machines that
// work beside each other have one each.

// Startup is an observer of a controller's startup machines.
func (w *Writer) Startup() startup.Observer {
	return observe[startup.Config, startup.Event, startup.Output](w, "startup")
}

// Measure is an observer of a profiler's machine.
func (w *Writer) Measure() measure.Observer {
	return observe[measure.Config, measure.Event, measure.Output](w, "measure")
}

// FrontDoor is an observer of a front door's machine. What clients send and are
// answered is not written, only how long it is.
func (w *Writer) FrontDoor() frontdoor.Observer {
	return observe[frontdoor.Config, frontdoor.Event, frontdoor.Output](w, "frontdoor")
}

// Work is an observer of a worker's machine.
func (w *Writer) Work() work.Observer {
	return observe[work.Config, work.Event, work.Output](w, "work")
}

// observer is what a core wants an observer to be.
type observer[Config, Event, Output any] struct {
	writer  *Writer
	core    *Core
	machine int
	hash    Hash
}

func observe[Config, Event, Output any](w *Writer, core string) *observer[Config, Event, Output] {
	return &observer[Config, Event, Output]{writer: w, core: coreNamed(core)}
}

// Begin writes that a machine was made.
func (o *observer[Config, Event, Output]) Begin(c Config) {
	w := o.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	w.machines++
	o.machine, o.hash = w.machines, 0
	w.write(&line{Machine: o.machine, Begin: o.core.Name, Config: w.encode(c)})
}

// Step writes what it was given.
func (o *observer[Config, Event, Output]) Step(now protocol.Time, e Event, out *Output) {
	w := o.writer
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := o.hash.add(out); err != nil && w.err == nil {
		w.err = fmt.Errorf("write journal: %w", err)
	}
	written, runes, err := record.EncodeEvent(e)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("write journal: %w", err)
	}
	w.write(&line{Machine: o.machine, Now: now, Event: eventName(e), About: o.core.about(e), Of: written, Bytes: runes, Hash: o.hash})
}

// Close says that the journal is whole, and what went wrong with it.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.write(&line{Closed: true})
	return w.err
}

func (w *Writer) encode(value any) json.RawMessage {
	written, err := json.Marshal(value)
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("write journal: %w", err)
	}
	return written
}

func (w *Writer) write(l *line) {
	written := w.encode(l)
	if w.err != nil {
		return
	}
	if _, err := w.to.Write(append(written, '\n')); err != nil {
		w.err = fmt.Errorf("write journal: %w", err)
	}
}
