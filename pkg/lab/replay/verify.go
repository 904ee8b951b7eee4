package replay

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/protocol"
)

// Verdict says how a replay stands to its recording.
type Verdict struct {
	// Machines are those that were recorded, in the order in which they began.
	Machines []Machine `json:"machines"`
	// Policy and Config are those of the scheduler's last machine, "" for none; Outcome is what
	// became of its requests.
	Policy  string          `json:"policy,omitempty"`
	Config  policies.Config `json:"config,omitzero"`
	Outcome Outcome         `json:"outcome,omitzero"`
	// Events were given to machines again, of which Proven stand before a hash that agreed.
	Events uint64 `json:"events"`
	Proven uint64 `json:"proven"`
	// Missing events were lost to the recording, Skipped follow them or a
	// difference, within the same machine, and were not replayed.
	Missing uint64 `json:"missing"`
	Skipped uint64 `json:"skipped"`
	// Differs is the first place where the decisions are not the same.
	Differs *Difference `json:"differs,omitempty"`
	// Cut: the recording was not closed. Its first Whole bytes were read; what
	// was written after them, if anything was, is not known.
	Cut   bool  `json:"cut"`
	Whole int64 `json:"whole_bytes"`
	// From and To are the times of the first and the last event. Hash is of the outputs of all
	// machines; of a single one it is that machine's own.
	From protocol.Time `json:"from_ns"`
	To   protocol.Time `json:"to_ns"`
	Hash record.Hash   `json:"hash"`
}

// Machine is one that began in a recording.
type Machine struct {
	Core   string      `json:"core"`
	Events uint64      `json:"events"`
	Hash   record.Hash `json:"hash"` // of its outputs
}

// Difference lies within the events After to Before of a machine, counted from 1. Event is that
// of Before, which is the one that was decided otherwise if After is the same.
type Difference struct {
	Machine int           `json:"machine"` // by its number, from 1
	Core    string        `json:"core"`
	After   uint64        `json:"after"`
	Before  uint64        `json:"before"`
	Event   string        `json:"event"`
	Now     protocol.Time `json:"now_ns"`
}

// Same reports whether every event was replayed and every decision proven the
// same. A recording that was cut off can be the same as far as it goes.
func (v *Verdict) Same() bool {
	return v.Differs == nil && v.Missing == 0 && v.Skipped == 0 && v.Proven == v.Events
}

// OfScheduler reports whether a scheduler was recorded.
func (v *Verdict) OfScheduler() bool { return v.Policy != "" }

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
	v.Hash = record.Hash(sum.Sum64())
}

// verifier is a Verify under way.
type verifier struct {
	Verdict
	observe sched.Observers
	tally   *tally
	running []running
}

// running is a machine at work again. lost: it cannot be replayed further.
type running struct {
	step   record.Machine
	proven uint64
	last   record.Item // the event that it decided last
	lost   bool
}

// ErrNoCore says that a recording is of nothing: it ends before a core began.
var ErrNoCore = errors.New("no decisions are in it")

// Verify has the cores of this build decide a recording again; one that was not closed as far as
// it goes. Who observes is shown the policy's core of each of the scheduler's terms. The error is
// the recording's, that its policy is not known here, or ErrNoCore; the verdict then is of what
// came before.
func Verify(from *record.Reader, observe ...sched.Observer) (*Verdict, error) {
	v := &verifier{observe: observe, tally: newTally()}
	item, err := from.Next()
	for err == nil {
		if err = v.take(item); err == nil {
			item, err = from.Next()
		}
	}
	for i := range v.running {
		v.Proven += v.running[i].proven
	}
	v.sum()
	if v.OfScheduler() {
		v.Outcome = v.tally.Outcome
	}
	v.Whole = from.Whole()
	v.Cut = errors.Is(err, record.ErrCut)
	switch {
	case !v.Cut && err != io.EOF:
		return &v.Verdict, err
	case len(v.Machines) == 0 && v.Cut:
		return &v.Verdict, fmt.Errorf("replay: %w: it ends without a close after byte %d, before its first block was whole", ErrNoCore, v.Whole)
	case len(v.Machines) == 0:
		return &v.Verdict, fmt.Errorf("replay: %w: it was closed at byte %d before any core began", ErrNoCore, v.Whole)
	}
	return &v.Verdict, nil
}

func (v *verifier) take(item *record.Item) error {
	switch item.Kind {
	case record.Begin:
		return v.begin(item)
	case record.Missing:
		v.Missing += item.Events
		v.running[item.Machine-1].lost = true
	case record.Mark:
		v.compare(item)
	case record.Step:
		return v.step(item)
	}
	return nil
}

func (v *verifier) begin(item *record.Item) (err error) {
	defer panicked(&err, item.Core.Name)
	begin := item.Core.Begin
	if item.Core.Name == record.Scheduler {
		begin = v.beginTerm
	}
	step, err := begin(item.Config)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	v.Machines = append(v.Machines, Machine{Core: item.Core.Name})
	v.running = append(v.running, running{step: step})
	return nil
}

// beginTerm makes a scheduler's term, whose policy is watched.
func (v *verifier) beginTerm(config []byte) (record.Machine, error) {
	item := record.Item{Config: config}
	setup, err := item.Setup()
	if err != nil {
		return nil, err
	}
	term, err := setup.NewTerm()
	if err != nil {
		return nil, err
	}
	term.Observe = func(now protocol.Time, e sched.Event, out *sched.Output) {
		v.tally.step(e, out)
		v.observe.Step(now, e, out)
	}
	v.Policy, v.Config = setup.Policy, setup.Config
	v.tally.begin()
	v.observe.Begin(sched.Setup{Policy: setup.Policy, Config: setup.Config.Config})
	return func(now protocol.Time, e any, _ uint64) (any, error) { return term.Step(now, e.(sched.TermEvent)), nil }, nil
}

// step has a machine decide an event again.
func (v *verifier) step(item *record.Item) (err error) {
	r, m := &v.running[item.Machine-1], &v.Machines[item.Machine-1]
	if r.lost {
		v.Skipped++
		return nil
	}
	if v.Events == 0 {
		v.From = item.Now
	}
	v.To = max(v.To, item.Now)
	r.last = *item
	defer panicked(&err, "an event")
	out, err := r.step(item.Now, item.Event, item.About)
	if err == nil {
		err = m.Hash.AddOutput(out)
	}
	if err != nil {
		return fmt.Errorf("replay: event %d of machine %d: %w", m.Events+1, item.Machine, err)
	}
	v.Events++
	m.Events++
	return nil
}

func (v *verifier) compare(item *record.Item) {
	r, m := &v.running[item.Machine-1], &v.Machines[item.Machine-1]
	switch {
	case r.lost:
	case item.Events == m.Events && item.Hash == m.Hash:
		r.proven = m.Events
	default:
		r.lost = true
		if v.Differs == nil {
			v.Differs = &Difference{Machine: item.Machine, Core: m.Core, After: r.proven + 1, Before: m.Events, Event: r.last.EventName(), Now: r.last.Now}
		}
	}
}

// panicked makes an error of a panic: what somebody has written into a recording may be
// what no core is ever given.
func panicked(err *error, what string) {
	if why := recover(); why != nil {
		*err = fmt.Errorf("replay: %s cannot be replayed: the core panics: %v", what, why)
	}
}
