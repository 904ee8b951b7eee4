package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
)

// moment is an event that a core was given.
type moment struct {
	now   protocol.Time
	event sched.Event
}

// deadStats keeps what a core was given, and explains what it refuses as it does so.
type deadStats struct {
	t      *testing.T
	policy string
	live   *explain.Live
	events []moment
	causes map[explain.Cause]int
	tested map[string]int
	models []protocol.ModelSpec
}

// causesOf are those that a refusal's code allows.
var causesOf = map[protocol.Code][]explain.Cause{
	protocol.DeadlineUnmeetable: {explain.Tight, explain.Cold, explain.LaneBusy, explain.Backlog},
	protocol.DeadlineExceeded:   {explain.Behind, explain.ColdBusy, explain.Inputs, explain.SlowBefore, explain.Lost, explain.NoWorker, explain.Overdue, explain.Other},
	protocol.WorkerLost:         {explain.Lost},
}

func (p *deadStats) step(now protocol.Time, e sched.Event, out *sched.Output) {
	switch e := e.(type) {
	case *sched.Activate:
		p.events, p.live, p.models = nil, explain.NewLive(), e.State.Models
		p.live.Begin(sched.Setup{Policy: p.policy, Config: sched.Defaults()})
		p.events = append(p.events, moment{now, e})
	case *sched.Submit:
		kept := *e
		p.events = append(p.events, moment{now, &kept})
	case *sched.Result:
		kept := *e
		p.events = append(p.events, moment{now, &kept})
	default:
		p.events = append(p.events, moment{now, e})
	}
	p.live.Step(now, e, out)
	for i := range out.Refusals {
		p.refused(&out.Refusals[i], &out.Reasons[i])
	}
}

func (p *deadStats) refused(d *protocol.Dispatch, why *sched.Reason) {
	e, _ := p.live.Explain(d.ID, nil)
	if e == nil {
		p.t.Fatalf("refusal %v of %v is not known", d.Refusal, d.ID)
	}
	p.causes[e.Cause]++
	if allowed := causesOf[d.Refusal.Code]; allowed != nil && !slices.Contains(allowed, e.Cause) {
		p.t.Errorf("refused %s, and explained by %q:\n%s", d.Refusal.Code, e.Cause, e)
	}
	if math.Abs(e.EarliestMS-d.Refusal.EarliestMS) > 1e-6 {
		p.t.Errorf("refused with %.6f ms at the earliest, explained with %.6f:\n%s", d.Refusal.EarliestMS, e.EarliestMS, e)
	}
	if why.Earliest != 0 && why.Earliest <= why.Deadline && d.Refusal.Code == protocol.DeadlineUnmeetable {
		p.t.Errorf("refused though it could be done in time, at %v of %v:\n%s", why.Earliest, why.Deadline, e)
	}
	if e.Cause == explain.Tight && why.Idle <= why.Deadline {
		p.t.Errorf("an idle GPU would have done it at %v of %v:\n%s", why.Idle, why.Deadline, e)
	}
	if d.Refusal.Code == protocol.DeadlineUnmeetable && p.tested[string(e.Cause)] < 12 {
		p.advice(e)
	}
}

var (
	sloAdvice = regexp.MustCompile(`^an SLO of (\d+) ms`)
	gpuAdvice = regexp.MustCompile(`^(one more GPU with the weights, idle|the weights on an idle GPU): done [^,]*$`)
)

// advice does as it says to the last request, with all that came before as it was, and
// expects that the core takes it.
func (p *deadStats) advice(e *explain.Explanation) {
	last := *p.events[len(p.events)-1].event.(*sched.Submit)
	for _, saved := range e.WhatIf {
		switch {
		case sloAdvice.MatchString(saved):
			whole, _ := strconv.Atoi(sloAdvice.FindStringSubmatch(saved)[1])
			with, less := last, last
			with.Budget = time.Duration(whole)*time.Millisecond - last.Elapsed
			less.Budget = with.Budget - 2*time.Millisecond
			if p.again(&with) {
				p.t.Errorf("%q: refused all the same:\n%s", saved, e)
			}
			if e.Cause != explain.Backlog && less.Budget > last.Budget && !p.again(&less) {
				p.t.Errorf("%q: 2 ms less would have done:\n%s", saved, e)
			}
			p.tested[string(e.Cause)]++
		case gpuAdvice.MatchString(saved):
			at := slices.IndexFunc(p.models, func(m protocol.ModelSpec) bool { return m.Name == last.Model })
			pages := p.models[at].Pages
			more := &sched.WorkerJoined{State: protocol.WorkerState{ID: "zz", Incarnation: 1, Models: p.models[at : at+1], // nothing else may come there
				GPUs: []protocol.GPUState{{Type: gpuType, PagesTotal: pages, PagesUsed: pages, Models: []string{last.Model}}}}}
			if p.again(more, &last) {
				p.t.Errorf("%q: refused all the same:\n%s", saved, e)
			}
			p.tested["GPU"]++
		}
	}
}

// again gives a new core what came before the last event, and then other events. It
// says whether the last of these is refused.
func (p *deadStats) again(events ...sched.Event) (refused bool) {
	core, err := sched.New(p.policy, sched.Defaults())
	if err != nil {
		p.t.Fatal(err)
	}
	before := p.events[:len(p.events)-1]
	for _, m := range before {
		core.Step(m.now, m.event)
	}
	now := p.events[len(p.events)-1].now
	for _, e := range events {
		out := core.Step(now, e)
		if s, ok := e.(*sched.Submit); ok {
			refused = slices.ContainsFunc(out.Refusals, func(d protocol.Dispatch) bool { return d.ID == s.ID })
		}
	}
	return refused
}

// TestWhyAgreesWithWhat: in random worlds, near and far, the cause and the numbers of
// each refusal are the core's, and what is said to have saved a request does.
func TestWhyAgreesWithWhat(t *testing.T) {
	causes, tested := map[explain.Cause]int{}, map[string]int{}
	for seed := range uint64(12) {
		for _, policy := range []string{"clockwork", "simple", "faithful"} {
			t.Run(fmt.Sprintf("seed=%d/%s", seed, policy), func(t *testing.T) {
				p := &deadStats{t: t, policy: policy, causes: causes, tested: map[string]int{}}
				rng := rand.New(rand.NewPCG(seed, 14))
				c := Defaults(policy)
				c.Seed, c.Observe = seed, p.step
				c.GPUs, c.Workers, c.Pages = 1+rng.IntN(2), 1+rng.IntN(2), 40+rng.IntN(200)
				c.Resident = rng.IntN(2) == 0
				c.Network.Base = time.Duration(rng.IntN(12)) * time.Millisecond
				if rng.IntN(2) == 0 {
					f, err := ParseFaults("slow=200ms:50ms,kill=500ms:100ms")
					if err != nil {
						t.Fatal(err)
					}
					c.Faults = f
				}
				w, err := workload.Named("open", workload.Options{Seed: seed, Copies: 1 + rng.IntN(12), Rate: float64(100 + rng.IntN(900)),
					Length: 1500 * time.Millisecond, SLO: workload.Within(time.Duration(5+rng.IntN(60)) * time.Millisecond)})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := Run(c, w, nil); err != nil {
					t.Fatal(err)
				}
				for what, n := range p.tested {
					tested[what] += n
				}
			})
		}
	}
	t.Logf("causes %v, advice tested %v", causes, tested)
	for _, cause := range []explain.Cause{explain.Tight, explain.Cold, explain.LaneBusy} {
		if tested[string(cause)] == 0 {
			t.Errorf("no advice of cause %q was tested", cause)
		}
	}
	if tested["GPU"] == 0 || causes[explain.Behind] == 0 || causes[explain.ColdBusy] == 0 {
		t.Errorf("GPUs tested %d times; causes %v", tested["GPU"], causes)
	}
}
