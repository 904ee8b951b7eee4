package sim

import (
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/core/work"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// liar is a core that breaks a promise.
type liar struct {
	sched.Core
	spoil func(*sched.Output)
	count func(*sched.Stats)
}

func (l liar) Step(now protocol.Time, e sched.Event) sched.Output {
	out := l.Core.Step(now, e)
	if l.spoil != nil {
		l.spoil(&out)
	}
	return out
}

func (l liar) Stats() sched.Stats {
	s := l.Core.Stats()
	if l.count != nil {
		l.count(&s)
	}
	return s
}

func small(t *testing.T) *world {
	t.Helper()
	c := Defaults("clockwork")
	c.Pages, c.Thorough, c.Seed = 30, true, 77
	w, err := workload.Named("open", workload.Options{Seed: 1, Length: time.Second, Copies: 8, Rate: 900})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newWorld(c, w)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestABrokenPromiseOfTheSchedulerIsFoundAndNamed(t *testing.T) {
	spun := protocol.Time(1)
	actions := func(of protocol.Kind, spoil func(*protocol.Action)) func(*sched.Output) {
		return func(out *sched.Output) {
			for i := range out.Actions {
				if a := &out.Actions[i].Action; a.Kind == of {
					spoil(a)
				}
			}
		}
	}
	for _, row := range []struct {
		name string
		liar liar
		want []string
	}{
		{"too late", liar{spoil: actions(protocol.Infer, func(a *protocol.Action) { a.Latest = 1 })}, []string{"G2", "Infer"}},
		{"more than fits", liar{spoil: func(out *sched.Output) {
			for _, a := range out.Actions {
				if a.Action.Kind == protocol.EvictWeights { // and another one instead
					out.Actions[0].Action.Kind, out.Actions[0].Action.Model = protocol.LoadWeights, "resnet50_v2-8"
				}
			}
		}}, []string{"G6", "pages"}},
		{"another life", liar{spoil: actions(protocol.LoadWeights, func(a *protocol.Action) { a.Incarnation++ })}, []string{"G7", "life 2"}},
		{"two answers", liar{spoil: func(out *sched.Output) { out.Refusals = append(out.Refusals, out.Refusals...) }}, []string{"G1", "twice"}},
		{"a timer that has passed", liar{spoil: func(out *sched.Output) { out.Wake = 0 }}, []string{"G11", "woken"}},
		{"woken for ever", liar{spoil: func(out *sched.Output) { out.Wake = spun; spun++ }}, []string{"G11", "for ever"}},
		{"a request that is not counted", liar{count: func(s *sched.Stats) { s.Succeeded /= 2 }}, []string{"G13", "accounts"}},
	} {
		s := small(t)
		row.liar.Core = s.core
		s.core = row.liar
		s.start()
		s.run(nil)
		s.checkRest()
		for _, want := range append(row.want, "seed 77 at ", "event ") {
			if s.err == nil || !strings.Contains(s.err.Error(), want) {
				t.Errorf("%s: expected an error with %q, got %v", row.name, want, s.err)
			}
		}
	}
}

func TestG1ALateAnswerIsFound(t *testing.T) {
	s := small(t)
	r := &request{arrival: workload.Arrival{SLO: 10 * time.Millisecond}, deadline: 10e6}
	s.now = r.deadline.Add(answerSlack)
	if s.checkAnswer(r, protocol.DeadlineExceeded); s.err != nil {
		t.Fatal(s.err)
	}
	s.now++
	if s.checkAnswer(r, protocol.DeadlineExceeded); s.err == nil || !strings.Contains(s.err.Error(), "G1") {
		t.Errorf("answered %v after its deadline: %v", s.now.Sub(r.deadline), s.err)
	}
}

func TestG2AnOKAfterTheSLOIsFound(t *testing.T) {
	s := small(t)
	r := &request{arrival: workload.Arrival{SLO: 10 * time.Millisecond}, deadline: 10e6}
	s.now = r.deadline + 1
	if s.checkAnswer(r, protocol.OK); s.err == nil || !strings.Contains(s.err.Error(), "G2") {
		t.Errorf("OK 1 ns late: %v", s.err)
	}
}

func TestG2ABeginOutsideItsWindowIsFound(t *testing.T) {
	s := small(t)
	s.start()
	h := s.hosts[0]
	s.now = 21
	if s.checkBegin(h, &work.Order{Earliest: 10, Latest: 20}, h.GPUs[0]); s.err == nil || !strings.Contains(s.err.Error(), "G2") {
		t.Errorf("began 1 ns after its latest: %v", s.err)
	}
}

func TestG6TheBookIsKeptBesideTheLedger(t *testing.T) {
	for name, spoil := range map[string]func(h *host, o *work.Order){
		"runs without weights": func(h *host, o *work.Order) { o.Action.Kind = protocol.Infer },
		"evicted while in use": func(h *host, o *work.Order) {
			h.HoldOnGPU(0, o.Action.Model)
			h.openBooks()
			h.books[0].users[o.Action.Model] = 1
			o.Action.Kind = protocol.EvictWeights
		},
		"counted by nobody": func(h *host, o *work.Order) { o.Action.Kind = protocol.LoadWeights },
	} {
		s := small(t)
		s.start()
		h := s.hosts[0]
		o := &work.Order{Spec: &s.models[0].ModelSpec}
		o.Action.Model = o.Spec.Name
		spoil(h, o)
		if h.books[0].begin(s, o, h.GPUs[0]); s.err == nil || !strings.Contains(s.err.Error(), "G6") {
			t.Errorf("%s: %v", name, s.err)
		}
	}
}
