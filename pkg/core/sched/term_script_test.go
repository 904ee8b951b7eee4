package sched

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/script"
)

// A script of a term is blocks of lines "<ms> <event> <args>", each followed by ----
// and what the term wants done: steps of the core ("core: ..."), what is said, and
// people's notes. The lease's epoch is 5. A worker is <id>#<incarnation>, a request
// <front door>.<number>, and "epoch <n>" may end a line where another than 5 is meant.
//
//	start [<set>:]<models> <worker>[:<epoch it obeys>][-<models it lacks>]...   models are letters
//	announce <worker>     beat <worker>[:<epoch it obeys>] <clock epoch> [stopping <in flight> |
//	                                     gpus ok:<executors ended>|stalled:<...>...]
//	slow <id>...                         these do not answer at once what is on their
//	                                     GPUs, as all others do that join
//	state-of <worker> [none|newer <epoch>|late|holds <models>]   what came of asking a
//	                                     worker: it holds every model, or these; with
//	                                     late, of a question before the first that counts
//	door <front door> [<epoch>]          its heartbeat
//	scheduler <id> <epoch>               another scheduler's heartbeat
//	submit <request> <budget ms> <reply> [json]
//	withdraw <request>                   its client went away
//	answers <front door> <number>...     it claims these
//	nobody <front door> <question>       nobody listens; questions count from 1
//	missed                               messages may have been missed
//	heartbeats <n> [<worker> <clock epoch>|door <front door>]...
//	                                     so often a heartbeat is due, 100 ms apart;
//	                                     before each, these beat
//	obeys <worker> <epoch>               a result that shows this epoch
//	tick                                 at the time given
//	show                                 prints the term
func TestTermScripts(t *testing.T) {
	script.Play(t, "testdata/term/*.txt", func(t *testing.T) func(string) string {
		s := newTermStage(t)
		return func(line string) string {
			s.said.Reset()
			s.run(strings.Fields(line))
			return s.said.String()
		}
	})
}

// deaf is a core that decides nothing.
type deaf struct{ Core }

func (deaf) Step(protocol.Time, Event) Output             { return Output{Wake: protocol.Never} }
func (deaf) Stats() Stats                                 { return Stats{} }
func (deaf) Unavailable() []string                        { return nil }
func (deaf) Capacity(protocol.Time) (c protocol.Capacity) { return c }

const scriptEpoch = 5

// termStage is a term that a script is played to.
type termStage struct {
	t    *testing.T
	term *Term
	said strings.Builder
	slow []string
	// missed is how often messages may have been lost.
	missed uint64
	last   map[string]WorkerQuestion // to each worker
}

func newTermStage(t *testing.T) *termStage {
	s := &termStage{t: t, last: map[string]WorkerQuestion{}}
	s.term = NewTerm(deaf{}, TermConfig{Epoch: scriptEpoch, Issuer: 7, Question: ^uint64(0), Subjects: protocol.Subjects{Prefix: "clockwork"}})
	s.term.Observe = func(_ protocol.Time, e Event, _ *Output) { s.said.WriteString(coreStep(e)) }
	return s
}

// coreStep prints what the core is given.
func coreStep(e Event) string {
	switch e := e.(type) {
	case *Activate:
		return fmt.Sprintf("core: activate epoch %d with %d models and %d workers\n", e.Epoch, len(e.State.Models), len(e.State.Workers))
	case *WorkerJoined:
		return fmt.Sprintf("core: %s#%d joins with %d models\n", e.State.ID, e.State.Incarnation, len(e.State.Models))
	case *SetSwitched:
		text := fmt.Sprintf("core: set %d has %d models", e.State.Set, len(e.State.Models))
		for _, w := range e.State.Workers {
			text += fmt.Sprintf(", %s#%d %d", w.ID, w.Incarnation, len(w.Models))
		}
		return text + "\n"
	case *WorkerLost:
		return fmt.Sprintf("core: %s#%d is lost\n", e.ID, e.Incarnation)
	case *GPUHealth:
		return fmt.Sprintf("core: GPUs of %s#%d: %v\n", e.ID, e.Incarnation, e.GPUs)
	case *DoorLost:
		return fmt.Sprintf("core: front door %d is lost\n", e.Door)
	case *Submit:
		return fmt.Sprintf("core: request %d.%d, %v left\n", e.ID.Door, e.ID.Seq, e.Budget)
	case *Answered:
		return fmt.Sprintf("core: front door %d answers %v\n", e.Door, e.Seqs)
	case *Withdraw:
		return fmt.Sprintf("core: nobody waits for %d.%d\n", e.ID.Door, e.ID.Seq)
	case *Result:
		return fmt.Sprintf("core: result of %s %s\n", e.Worker, e.Message)
	}
	return "core: tick\n"
}

func (s *termStage) run(f []string) {
	at, err := time.ParseDuration(f[0] + "ms")
	if err != nil {
		s.t.Fatalf("%v: %v", f, err)
	}
	now, epoch := protocol.Time(at), uint64(scriptEpoch)
	if n := len(f); n > 3 && f[n-2] == "epoch" {
		epoch, f = s.number(f[n-1]), f[:n-2]
	}
	switch f[1] {
	case "show":
		s.said.WriteString(s.term.String())
	case "slow":
		s.slow = f[2:]
	case "missed":
		s.missed++
	case "heartbeats":
		for i := range int(s.number(f[2])) {
			at := now.Add(time.Duration(i) * protocol.HeartbeatEvery)
			for rest := f[3:]; len(rest) > 1; rest = rest[2:] {
				if rest[0] == "door" {
					s.step(at, s.event([]string{"door", rest[1]}, epoch))
				} else {
					s.step(at, s.event([]string{"beat", rest[0], rest[1]}, epoch))
				}
			}
			s.step(at, &HeartbeatDue{})
		}
	default:
		s.step(now, s.event(f[1:], epoch))
	}
}

func (s *termStage) number(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// worker reads <id>#<incarnation>[:<epoch>][-<models it lacks>].
func (s *termStage) worker(text string) protocol.WorkerState {
	text, lacks, _ := strings.Cut(text, "-")
	text, obeys, has := strings.Cut(text, ":")
	id, incarnation, _ := strings.Cut(text, "#")
	w := protocol.WorkerState{ID: id, Incarnation: s.number(incarnation)}
	if has {
		w.Epoch = s.number(obeys)
	}
	for _, name := range lacks {
		w.Lacks = append(w.Lacks, protocol.Lack{Model: string(name), Code: protocol.ModelNotFound})
	}
	return w
}

// letters are models of these names.
func letters(names string) (models []protocol.ModelSpec) {
	for _, name := range names {
		models = append(models, protocol.ModelSpec{Name: string(name), Digest: string(name)})
	}
	return models
}

func (s *termStage) event(f []string, epoch uint64) TermEvent {
	switch f[0] {
	case "start":
		state := protocol.ClockworkState{}
		if term, has := strings.CutPrefix(f[len(f)-1], "controller"); has {
			state.Term, f = s.number(term), f[:len(f)-1]
		}
		set, models, numbered := strings.Cut(f[1], ":")
		if !numbered {
			set, models = "0", set
		}
		state.Set, state.Models = s.number(set), letters(models)
		for _, w := range f[2:] {
			state.Workers = append(state.Workers, s.worker(w))
		}
		return &Started{state}
	case "announce":
		return &WorkerAnnounced{s.worker(f[1])}
	case "beat":
		w := s.worker(f[1])
		h := protocol.Heartbeat{ID: w.ID, Incarnation: w.Incarnation, Epoch: w.Epoch, ClockEpoch: s.number(f[2])}
		if len(f) > 3 && f[3] == "gpus" {
			for _, g := range f[4:] {
				state, ended, _ := strings.Cut(g, ":")
				h.GPUs = append(h.GPUs, protocol.GPUBeat{Stalled: state == "stalled", Executor: uint32(s.number(ended))})
			}
		} else if len(f) > 3 {
			h.State, h.InFlight = protocol.Stopping, int(s.number(f[4]))
		}
		return &WorkerBeat{h}
	case "state-of":
		w := s.worker(f[1])
		answer := &WorkerAnswered{WorkerQuestion: s.last[w.ID]}
		answer.Incarnation = w.Incarnation
		switch how := append(f, "")[2]; how {
		case "none":
			return answer
		case "newer":
			answer.Obeys = s.number(f[3])
			return answer
		case "late":
			answer.Number = 0
		}
		w.Models = s.term.hosted(&w)
		if len(f) > 3 {
			w.Models = letters(f[3])
		}
		w.Lacks = nil
		answer.State = &w
		return answer
	case "door":
		door := s.number(f[1])
		h := protocol.Heartbeat{ID: protocol.DoorName(door), Incarnation: door}
		if len(f) > 2 {
			h.Epoch = s.number(f[2])
		}
		return &FrontDoorBeat{h, s.missed}
	case "scheduler":
		return &SchedulerBeat{protocol.Heartbeat{ID: f[1], Epoch: s.number(f[2])}}
	case "submit":
		door, seq, _ := strings.Cut(f[1], ".")
		budget, err := time.ParseDuration(f[2] + "ms")
		if err != nil {
			s.t.Fatalf("%v: %v", f, err)
		}
		return &Submitted{Epoch: epoch, Submitted: protocol.Submitted{Reply: f[3], JSON: len(f) > 4, Submission: protocol.Submission{
			ID: protocol.RequestID{Door: s.number(door), Seq: s.number(seq)}, Budget: budget}}}
	case "withdraw":
		door, seq, _ := strings.Cut(f[1], ".")
		return &Withdraw{protocol.RequestID{Door: s.number(door), Seq: s.number(seq)}}
	case "answers":
		e := &AnswersReported{FrontDoor: s.number(f[1]), Epoch: epoch}
		for _, seq := range f[2:] {
			e.Answered = append(e.Answered, s.number(seq))
		}
		return e
	case "nobody":
		return &NoResponders{s.number(f[1]), s.number(f[2]), s.missed}
	case "obeys":
		w := s.worker(f[1])
		return &Result{protocol.Result{Worker: w.ID, Epoch: s.number(f[2])}}
	case "tick":
		return &Tick{}
	}
	s.t.Fatalf("no event is called %q", f[0])
	return nil
}

var noteNames = map[NoteKind]string{
	NoteStarted: "started, workers", NoteActive: "active, workers", NoteWorkerJoined: "worker joined", NoteWorkerLeft: "worker left",
	NoteWorkerLost: "worker lost", NoteTooManyWorkers: "too many workers", NoteFrontDoorLost: "front door lost", NoteAnswering: "answering",
	NoteTooManyWaiting: "too many wait", NoteForgotten: "forgotten", NoteEpochDoubted: "epoch doubted",
	NoteSetSwitched: "set switched, models",
}

func (s *termStage) step(now protocol.Time, e TermEvent) {
	out, b := s.term.Step(now, e), &s.said
	for _, d := range out.Verdicts {
		fmt.Fprintf(b, "word on %d.%d: %s\n", d.ID.Door, d.ID.Seq, map[protocol.DispatchKind]string{protocol.Yours: "yours", protocol.Taken: "taken"}[d.Kind])
	}
	var joins []TermEvent
	for _, q := range out.Ask {
		what := "for its state"
		if q.Lean {
			what = "what is on its GPUs"
		}
		fmt.Fprintf(b, "ask %s#%d in epoch %d %s\n", q.ID, q.Incarnation, q.Epoch, what)
		if s.last[q.ID] = q; q.Lean && !slices.Contains(s.slow, q.ID) {
			joins = append(joins, &WorkerAnswered{WorkerQuestion: q, State: &protocol.WorkerState{ID: q.ID, Incarnation: q.Incarnation, Epoch: q.Epoch}})
		}
	}
	for _, q := range out.Questions {
		fmt.Fprintf(b, "ask who listens to front door %d: questions %d and %d\n", q.FrontDoor, q.Dispatch, q.Output)
	}
	for _, o := range out.Owed {
		for _, a := range o.Answers {
			fmt.Fprintf(b, "answer %d.%d on %s json=%v\n", o.FrontDoor, a.Seq, a.Reply, a.JSON)
		}
	}
	for _, n := range out.Notes {
		fmt.Fprintf(b, "note: %s %s %d\n", noteNames[n.Kind], n.ID, max(uint64(n.Count), n.Epoch))
	}
	if out.Activated {
		b.WriteString("beat now\n")
	}
	if out.Resign != "" {
		fmt.Fprintf(b, "resign: %s\n", out.Resign)
	}
	if _, counts := e.(*HeartbeatDue); !counts && out.Wake != protocol.Never {
		fmt.Fprintf(b, "wake %v\n", out.Wake)
	}
	for _, answer := range joins {
		s.step(now, answer)
	}
}
