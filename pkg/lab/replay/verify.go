package replay

import (
	"errors"
	"fmt"
	"io"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/protocol"
)

// Verdict says how a replay stands to its recording.
type Verdict struct {
	// Policy and Config are those of the last core.
	Policy string          `json:"policy"`
	Config policies.Config `json:"config"`
	// Cores is how many terms were recorded, each with its core: one for each time
	// that a scheduler held the lease. Events were given to them again, of which Proven
	// stand before a hash that agreed.
	Cores  int    `json:"cores"`
	Events uint64 `json:"events"`
	Proven uint64 `json:"proven"`
	// Missing events were lost to the recording, Skipped follow them or a
	// difference, within the same core, and were not replayed.
	Missing uint64 `json:"missing"`
	Skipped uint64 `json:"skipped"`
	// Differs is the first place where the decisions are not the same.
	Differs *Difference `json:"differs,omitempty"`
	// Cut: the recording was not closed. Its first Whole bytes were read; what
	// was written after them, if anything was, is not known.
	Cut   bool  `json:"cut"`
	Whole int64 `json:"whole_bytes"`
	// From and To are the times of the first and the last event, Hash is the
	// last core's at the end.
	From    protocol.Time `json:"from_ns"`
	To      protocol.Time `json:"to_ns"`
	Hash    string        `json:"hash"`
	Outcome Outcome       `json:"outcome"`
}

// Difference lies within the events After to Before of a core, counted from 1.
type Difference struct {
	Core          int `json:"core"`
	After, Before uint64
}

// Same reports whether every event was replayed and every decision proven the
// same. A recording that was cut off can be the same as far as it goes.
func (v *Verdict) Same() bool {
	return v.Differs == nil && v.Missing == 0 && v.Skipped == 0 && v.Proven == v.Events
}

// verifier is a Verify under way.
type verifier struct {
	Verdict
	observe sched.Observers
	tally   *tally
	term    *sched.Term
	hash    record.Hash
	events  uint64 // of this core
	proven  uint64
	lost    bool // this core cannot be replayed further
}

// ErrNoCore says that a recording is of nothing: it ends before a core began.
var ErrNoCore = errors.New("no scheduler's decisions are in it")

// Verify replays a recording; one that was not closed as far as it goes.
// Who observes is shown the core of each term. The error is the recording's, that its policy is not
// known here, or ErrNoCore; the verdict then is of what came before.
func Verify(from *record.Reader, observe ...sched.Observer) (*Verdict, error) {
	v := &verifier{observe: observe, tally: newTally()}
	item, err := from.Next()
	for err == nil {
		if err = v.take(item); err == nil {
			item, err = from.Next()
		}
	}
	v.Proven += v.proven
	v.Hash = fmt.Sprintf("%016x", uint64(v.hash))
	v.Outcome = v.tally.Outcome
	v.Whole = from.Whole()
	v.Cut = errors.Is(err, record.ErrCut)
	switch {
	case !v.Cut && err != io.EOF:
		return &v.Verdict, err
	case v.Cores == 0 && v.Cut:
		return &v.Verdict, fmt.Errorf("replay: %w: it ends without a close after byte %d, before its first block was whole", ErrNoCore, v.Whole)
	case v.Cores == 0:
		return &v.Verdict, fmt.Errorf("replay: %w: it was closed at byte %d before any scheduler began", ErrNoCore, v.Whole)
	}
	return &v.Verdict, nil
}

func (v *verifier) take(item *record.Item) error {
	switch item.Kind {
	case record.Begin:
		return v.begin(item)
	case record.Missing:
		v.Missing += item.Events
		v.lost = true
	case record.Mark:
		v.compare(item)
	case record.Step:
		v.step(item.Now, item.Event)
	}
	return nil
}

func (v *verifier) begin(item *record.Item) error {
	core, err := policies.New(item.Policy, item.Config)
	if err != nil {
		return fmt.Errorf("replay: %w", err)
	}
	v.term = sched.NewTerm(core, item.Term)
	v.term.Observe = func(now protocol.Time, e sched.Event, out *sched.Output) {
		v.tally.step(e, out)
		v.observe.Step(now, e, out)
	}
	v.Policy, v.Config = item.Policy, item.Config
	v.Cores++
	v.Proven += v.proven
	v.hash, v.events, v.proven, v.lost = 0, 0, 0, false
	v.tally.begin()
	v.observe.Begin(sched.Setup{Policy: item.Policy, Config: item.Config.Config})
	return nil
}

func (v *verifier) step(now protocol.Time, e sched.TermEvent) {
	if v.lost {
		v.Skipped++
		return
	}
	if v.Events == 0 {
		v.From = now
	}
	v.To = max(v.To, now)
	v.Events++
	v.events++
	v.hash.Add(v.term.Step(now, e))
}

func (v *verifier) compare(item *record.Item) {
	switch {
	case v.lost:
	case item.Events == v.events && item.Hash == v.hash:
		v.proven = v.events
	default:
		v.lost = true
		if v.Differs == nil {
			v.Differs = &Difference{v.Cores, v.proven + 1, v.events}
		}
	}
}
