package journal

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"clockwork/pkg/protocol"
)

// Verdict is what a replay of a journal proved.
type Verdict struct {
	// Cores are the machines that began, by the names of their cores.
	Cores []string `json:"cores"`
	// Events were decided again, from the first one to the last.
	Events   int           `json:"events"`
	From, To protocol.Time `json:"-"`
	// Hash is of the last machine's outputs.
	Hash Hash `json:"hash"`
	// Differs is the first event with another output than was written; nothing is
	// replayed after it.
	Differs *Difference `json:"differs,omitempty"`
	// Cut: the journal was not closed. Lines are the whole ones.
	Cut   bool `json:"cut"`
	Lines int  `json:"lines"`
}

// Difference is an event that was decided otherwise.
type Difference struct {
	Line  int           `json:"line"`
	Core  string        `json:"core"`
	Event string        `json:"event"`
	Now   protocol.Time `json:"now"`
}

// Same reports whether every event was decided as it was written.
func (v *Verdict) Same() bool { return v.Differs == nil }

// maxLine bounds a line: a start with all models and profiles is one.
const maxLine = 256 << 20

// Is reports whether a file that begins with these bytes is a journal.
func Is(start []byte) bool { return len(start) >= len(header) && string(start[:len(header)]) == header }

// Verify has the cores of this build decide again. The error says what is wrong
// with the journal itself.
func Verify(from io.Reader) (*Verdict, error) {
	r := bufio.NewReaderSize(from, 1<<20)
	first, err := readLine(r)
	if err != nil || !Is(append(first, '\n')) {
		return nil, fmt.Errorf("read journal: it does not begin with %q", header[:len(header)-1])
	}
	v := &Verdict{Lines: 1, Cut: true}
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
	core    *Core
	step    func(protocol.Time, any) any
}

func (p *player) play(l *line) error {
	v := p.verdict
	switch {
	case l.Closed:
		v.Cut = false
		return nil
	case l.Begin != "":
		return p.begin(l)
	case p.core == nil:
		return errors.New("an event before its core")
	}
	e, err := p.core.event(l.Event, l.Of)
	if err != nil {
		return err
	}
	if err := v.Hash.add(p.step(l.Now, e)); err != nil {
		return err
	}
	if v.Hash != l.Hash {
		v.Differs = &Difference{Line: v.Lines, Core: p.core.Name, Event: l.Event, Now: l.Now}
		return nil
	}
	if v.Events == 0 {
		v.From = l.Now
	}
	v.Events++
	v.To = l.Now
	return nil
}

func (p *player) begin(l *line) (err error) {
	if p.core = coreNamed(l.Begin); p.core == nil {
		return fmt.Errorf("there is no core %q", l.Begin)
	}
	p.verdict.Cores = append(p.verdict.Cores, l.Begin)
	p.verdict.Hash = 0
	p.step, err = p.core.begin(l.Config)
	return err
}
