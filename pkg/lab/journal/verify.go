package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"clockwork/pkg/protocol"
)

// Verdict is what a replay of a journal proved.
type Verdict struct {
	// Machines are those that began, in order.
	Machines []Machine `json:"machines"`
	// Events were decided again, from the first one to the last.
	Events   int           `json:"events"`
	From, To protocol.Time `json:"-"`
	// Hash is of all machines' outputs; of a single machine it is that one's own.
	Hash Hash `json:"hash"`
	// Differs is the first event with another output than was written; nothing is
	// replayed after it.
	Differs *Difference `json:"differs,omitempty"`
	// Cut: the journal was not closed. Lines are the whole ones.
	Cut   bool `json:"cut"`
	Lines int  `json:"lines"`
}

// Machine is one that began in a journal.
type Machine struct {
	Core   string `json:"core"`
	Events int    `json:"events"`
	Hash   Hash   `json:"hash"` // of its outputs
}

// Difference is an event that was decided otherwise.
type Difference struct {
	Line    int           `json:"line"`
	Machine int           `json:"machine"` // by its number, from 1
	Core    string        `json:"core"`
	Event   string        `json:"event"`
	Now     protocol.Time `json:"now"`
}

// Same reports whether every event was decided as it was written.
func (v *Verdict) Same() bool { return v.Differs == nil }

// sum is what Hash says.
func (v *Verdict) sum() {
	if len(v.Machines) == 1 {
		v.Hash = v.Machines[0].Hash
		return
	}
	sum := fnv.New64a()
	for _, m := range v.Machines {
		fmt.Fprint(sum, m.Hash)
	}
	v.Hash = Hash(sum.Sum64())
}

// maxLine bounds a line: a start with all models and profiles is one.
const maxLine = 256 << 20

// Is reports whether a file that begins with these bytes is a journal.
func Is(start []byte) bool { return bytes.HasPrefix(start, []byte(format)) }

// Verify has the cores of this build decide again. The error says what is wrong
// with the journal itself.
func Verify(from io.Reader) (*Verdict, error) {
	r := bufio.NewReaderSize(from, 1<<20)
	first, err := readLine(r)
	if err != nil || string(first)+"\n" != header {
		return nil, fmt.Errorf("read journal: it does not begin with %q", header[:len(header)-1])
	}
	v := &Verdict{Lines: 1, Cut: true}
	defer v.sum()
	p := player{verdict: v}
	for {
		written, err := readLine(r)
		if errors.Is(err, io.EOF) {
			return v, nil // also within a line: that was cut off
		}
		if err != nil {
			return v, fmt.Errorf("read journal: %w", err)
		}
		v.Lines++
		if !v.Cut {
			return v, fmt.Errorf("read journal: line %d stands after its end", v.Lines)
		}
		var l line
		if err := json.Unmarshal(written, &l); err != nil {
			return v, fmt.Errorf("read journal: line %d: %w", v.Lines, err)
		}
		if err := p.play(&l); err != nil {
			return v, fmt.Errorf("read journal: line %d: %w", v.Lines, err)
		}
		if v.Differs != nil {
			return v, nil
		}
	}
}

// readLine reads a whole line without its end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var whole []byte
	for {
		part, err := r.ReadSlice('\n')
		whole = append(whole, part...)
		switch {
		case len(whole) > maxLine:
			return nil, fmt.Errorf("a line is longer than %d bytes", maxLine)
		case err == nil:
			return whole[:len(whole)-1], nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return nil, err
		}
	}
}

// player runs the machines of a journal.
type player struct {
	verdict *Verdict
	running []running
}

// running is a machine at work again.
type running struct {
	core *Core
	step machine
}

func (p *player) play(l *line) error {
	switch {
	case l.Closed:
		p.verdict.Cut = false
		return nil
	case l.Begin != "":
		return p.begin(l)
	case l.Machine < 1 || l.Machine > len(p.running):
		return fmt.Errorf("an event of machine %d; %d have begun", l.Machine, len(p.running))
	}
	return p.step(l)
}

func (p *player) begin(l *line) (err error) {
	r := running{core: coreNamed(l.Begin)}
	switch {
	case r.core == nil:
		return fmt.Errorf("there is no core %q", l.Begin)
	case l.Machine != len(p.running)+1:
		return fmt.Errorf("machine %d begins after %d others", l.Machine, len(p.running))
	}
	defer panicked(&err, l.Begin)
	if r.step, err = r.core.begin(l.Config); err != nil {
		return err
	}
	p.running = append(p.running, r)
	p.verdict.Machines = append(p.verdict.Machines, Machine{Core: l.Begin})
	return nil
}

// step has a machine decide an event again.
func (p *player) step(l *line) (err error) {
	r, m, v := &p.running[l.Machine-1], &p.verdict.Machines[l.Machine-1], p.verdict
	e, err := r.core.event(l.Event, l)
	if err != nil {
		return err
	}
	defer panicked(&err, l.Event)
	out, err := r.step(l.Now, e, l.About)
	if err != nil {
		return err
	}
	if err := m.Hash.add(out); err != nil {
		return err
	}
	if m.Hash != l.Hash {
		v.Differs = &Difference{Line: v.Lines, Machine: l.Machine, Core: r.core.Name, Event: l.Event, Now: l.Now}
		return nil
	}
	if v.Events == 0 {
		v.From = l.Now
	}
	m.Events++
	v.Events++
	v.To = l.Now
	return nil
}

// panicked makes an error of a panic: what somebody has written into a journal may be
// what no core is ever given.
func panicked(err *error, what string) {
	if why := recover(); why != nil {
		*err = fmt.Errorf("%s cannot be replayed: the core panics: %v", what, why)
	}
}
