package replay

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/lab/sim"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// simulated records a simulation: 40 models that do not all fit, at a rate.
func simulated(t testing.TB, policy string, rate float64) ([]byte, *sim.Report) {
	t.Helper()
	return simulatedWith(t, policy, rate, sim.Faults{})
}

func simulatedWith(t testing.TB, policy string, rate float64, faults sim.Faults) ([]byte, *sim.Report) {
	t.Helper()
	w, err := workload.Named("open", workload.Options{
		Seed: 3, Length: 3 * time.Second, Copies: 40, Rate: rate, SLO: workload.Within(60 * time.Millisecond),
	})
	must(t, err)
	config := sim.Defaults(policy)
	config.GPUs, config.Pages, config.Faults = 2, 140, faults
	var file bytes.Buffer
	rec, err := record.NewWriter(&file)
	must(t, err)
	observer := &record.Observer{Writer: rec, Config: config.Core}
	config.Observers = sched.TermObservers{observer}
	report, err := sim.Run(config, w, nil)
	must(t, errors.Join(err, observer.Err, rec.Close()))
	return file.Bytes(), report
}

func verified(t testing.TB, file []byte, observe ...sched.Observer) *Verdict {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(file))
	must(t, err)
	v, err := Verify(r, observe...)
	must(t, err)
	return v
}

func TestEveryPolicyDecidesTheSameAgain(t *testing.T) {
	for _, policy := range policies.Names() {
		if policy == "echo" {
			continue // it leaves the simulator nothing to end
		}
		file, report := simulated(t, policy, 900)
		v := verified(t, file)
		if !v.Same() || v.Cut || len(v.Machines) != 1 || v.Policy != policy {
			t.Errorf("%s: %+v", policy, v)
		}
		o := v.Outcome
		if o.Submitted != report.Core.Submitted || o.AllRefused() != report.Core.Refused || o.Done+o.Late != report.Core.Succeeded {
			t.Errorf("%s: outcome %+v of %+v", policy, o, report.Core)
		}
		size := float64(len(file)) / float64(v.Events)
		t.Logf("%s: %d events, %.1f bytes each", policy, v.Events, size)
		if size > 32 {
			t.Errorf("%s: %.1f bytes an event", policy, size)
		}
	}
}

// tampered is a recording with its hashes whose events were changed since.
func tampered(t *testing.T, file []byte, change func(sched.TermEvent)) []byte {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(file))
	must(t, err)
	var into bytes.Buffer
	w, err := record.NewWriter(&into)
	must(t, err)
	var term *sched.Term
	var hash record.Hash
	for {
		item, err := r.Next()
		if err != nil {
			break
		}
		switch item.Kind {
		case record.Begin:
			setup, err := item.Setup()
			must(t, err)
			term = newTerm(t, setup.Policy)
			must(t, w.Begin(record.Scheduler, setup))
		case record.Step:
			e := item.Event.(sched.TermEvent)
			hash.Add(term.Step(item.Now, e))
			change(e)
			must(t, w.StepHashed(item.Now, item.Event, hash))
		}
	}
	must(t, w.Close())
	return into.Bytes()
}

// simulatedTerm is what the simulator makes its first term with.
var simulatedTerm = sched.TermConfig{Epoch: 1, Issuer: 1<<8 + 1, Subjects: protocol.Subjects{Prefix: "clockwork"}}

func newTerm(t testing.TB, policy string) *sched.Term {
	t.Helper()
	core, err := policies.New(policy, policies.Defaults())
	must(t, err)
	return sched.NewTerm(core, simulatedTerm)
}

func TestOneOtherBudgetIsNoticed(t *testing.T) {
	file, _ := simulated(t, "clockwork", 900)
	n := 0
	v := verified(t, tampered(t, file, func(e sched.TermEvent) {
		if s, is := e.(*sched.Submitted); is {
			if n++; n == 2000 {
				s.Budget /= 7
			}
		}
	}))
	if v.Same() || v.Differs == nil || v.Skipped == 0 || v.Differs.Before-v.Differs.After > 5000 {
		t.Fatalf("%+v, differs %+v", v, v.Differs)
	}
	if v.Differs.After < 1000 {
		t.Errorf("the decisions before are not proven: %+v", v.Differs)
	}
}

// faulty is a world in which workers are killed, cut off and come back, and messages are lost.
func faulty(t testing.TB) sim.Faults {
	t.Helper()
	f, err := sim.ParseFaults("loss,duplicate,reorder,kill=700ms:200ms,cut=900ms:600ms,sleep=900ms:700ms,poison=0.2%:100ms,clock,frontdoor=800ms:200ms")
	must(t, err)
	return f
}

// What a term does around its policy is recorded too: who joins and is lost, on whose clock,
// who answers for a front door.
func TestATermAmongFaultsDoesTheSameAgain(t *testing.T) {
	for _, policy := range []string{"clockwork", "simple"} {
		file, report := simulatedWith(t, policy, 900, faulty(t))
		v := verified(t, file)
		if f := report.Faults; !v.Same() || v.Cut || f.Missed == 0 || f.Joined < 3 {
			t.Errorf("%s: %+v, faults %+v", policy, v, f)
		}
	}
}

// A difference in what the policy never sees is found as well.
func TestOtherMembershipIsNoticed(t *testing.T) {
	file, _ := simulatedWith(t, "clockwork", 900, faulty(t))
	for what, change := range map[string]func(sched.TermEvent) bool{
		"a heartbeat of another incarnation": func(e sched.TermEvent) bool {
			b, is := e.(*sched.WorkerBeat)
			if is {
				b.Incarnation++
			}
			return is
		},
		"a clock of another epoch": func(e sched.TermEvent) bool {
			b, is := e.(*sched.WorkerBeat)
			if is {
				b.ClockEpoch++
			}
			return is
		},
		"another worker's state": func(e sched.TermEvent) bool {
			a, is := e.(*sched.WorkerAnswered)
			is = is && a.State != nil
			if is {
				a.State = nil
			}
			return is
		},
	} {
		done := false
		v := verified(t, tampered(t, file, func(e sched.TermEvent) { done = done || change(e) }))
		if !done || v.Same() || v.Differs == nil {
			t.Errorf("%s: changed %v, %+v", what, done, v)
		}
	}
}

func TestMissingEventsForbidTheClaim(t *testing.T) {
	var file bytes.Buffer
	w, err := record.NewWriter(&file)
	must(t, err)
	must(t, w.BeginTerm("simple", policies.Defaults(), simulatedTerm))
	idle := &sched.TermOutput{Output: sched.Output{Wake: protocol.Never}}
	must(t, w.Step(1, &sched.Tick{}, idle))
	must(t, w.Missing(3))
	must(t, w.Step(2, &sched.Tick{}, idle))
	must(t, w.Close())
	v := verified(t, file.Bytes())
	if v.Same() || v.Missing != 3 || v.Events != 1 || v.Skipped != 1 {
		t.Errorf("%+v", v)
	}
}

func TestEachTermHasACoreOfItsOwn(t *testing.T) {
	var file bytes.Buffer
	w, err := record.NewWriter(&file)
	must(t, err)
	for range 2 {
		term := newTerm(t, "simple")
		must(t, w.BeginTerm("simple", policies.Defaults(), simulatedTerm))
		for _, e := range []sched.TermEvent{&sched.Started{}, &sched.Submitted{Submitted: protocol.Submitted{Submission: protocol.Submission{Budget: 1}}}} {
			must(t, w.Step(5, e, term.Step(5, e)))
		}
	}
	must(t, w.Close())
	if v := verified(t, file.Bytes()); !v.Same() || len(v.Machines) != 2 || v.Outcome.Submitted != 2 || v.Outcome.AllRefused() != 2 {
		t.Errorf("%+v", v)
	}
}

func TestARecordingCutOffIsReplayedAsFarAsItGoes(t *testing.T) {
	file, _ := simulated(t, "clockwork", 2000)
	v := verified(t, file[:len(file)*2/3])
	if !v.Same() || !v.Cut || v.Events == 0 || v.Whole > int64(len(file)*2/3) {
		t.Errorf("%+v", v)
	}
}

func TestARecordingOfNoCoreIsAnError(t *testing.T) {
	file, _ := simulated(t, "clockwork", 300)
	for _, end := range []int{22, 23, 1000} {
		r, err := record.NewReader(bytes.NewReader(file[:end]))
		must(t, err)
		if v, err := Verify(r); !errors.Is(err, ErrNoCore) || v.Whole != 22 {
			t.Errorf("cut at %d: %v, %d whole bytes", end, err, v.Whole)
		}
	}
}

// The emulation is only as good as it repeats what was recorded: with the
// recorded policy the share of requests in time must come close.
func TestAnEmulationOfTheRecordedPolicyComesClose(t *testing.T) {
	for _, rate := range []float64{300, 900, 2000} {
		file, _ := simulated(t, "clockwork", rate)
		m := NewMaterial()
		v := verified(t, file, m)
		o, err := m.Emulate(v.Policy, v.Config)
		must(t, err)
		was := float64(v.Outcome.Done) / float64(v.Outcome.Submitted)
		is := float64(o.Done) / float64(o.Submitted)
		t.Logf("rate %.0f: %.4f recorded, %.4f emulated; %d and %d infers, %d and %d loads; late %d and %d; fail %v %v", rate, was, is, v.Outcome.Infers, o.Infers, v.Outcome.Loads, o.Loads, v.Outcome.Late, o.Late, v.Outcome.Failures, o.Failures)
		if o.Submitted != v.Outcome.Submitted || math.Abs(was-is) > 0.02 {
			t.Errorf("rate %.0f: %.4f recorded, %.4f emulated", rate, was, is)
		}
	}
}

// Another policy in emulation must come close to that policy in a simulation
// of the same arrivals.
func TestAnEmulationOfAnotherPolicyComesCloseToItsSimulation(t *testing.T) {
	file, _ := simulated(t, "clockwork", 900)
	m := NewMaterial()
	v := verified(t, file, m)
	for _, policy := range []string{"fifo", "faithful", "simple"} {
		o, err := m.Emulate(policy, v.Config)
		must(t, err)
		other, _ := simulated(t, policy, 900)
		want := verified(t, other).Outcome
		was, is := float64(want.Done)/float64(want.Submitted), float64(o.Done)/float64(o.Submitted)
		t.Logf("%s: %.4f simulated, %.4f emulated from a recording of clockwork", policy, was, is)
		if math.Abs(was-is) > 0.05 {
			t.Errorf("%s: %.4f simulated, %.4f emulated", policy, was, is)
		}
	}
}

// Requests that nobody knows the end of are in no comparison, whichever of the
// sides has them open.
func TestOpenRequestsAreLeftOutOfAComparison(t *testing.T) {
	whole, _ := simulated(t, "clockwork", 2000)
	file := whole[:len(whole)*2/3]
	m := NewMaterial()
	v := verified(t, file, m)
	o, err := m.Emulate("faithful", v.Config)
	must(t, err)
	before, opened := v.Outcome.Submitted, max(v.Outcome.Open, o.Open)
	if opened == 0 || v.Outcome.Open == 0 {
		t.Fatalf("%d open in the recording, %d in the emulation", v.Outcome.Open, o.Open)
	}
	apart := Settle(&v.Outcome, o)
	if apart < opened || apart > v.Outcome.Open+o.Open {
		t.Errorf("%d are left out; %d and %d are open", apart, v.Outcome.Open, o.Open)
	}
	for _, o := range []*Outcome{&v.Outcome, o} {
		ended := o.Done + o.Late + o.Answered + o.Forgotten + o.AllRefused()
		if o.Submitted != ended || ended != before-apart || o.Apart != apart {
			t.Errorf("%d ended of %d compared, %d submitted, %d left out: %+v", ended, o.Submitted, before, apart, o.Refused)
		}
	}
}

func TestEqualEmulationsAreEqual(t *testing.T) {
	file, _ := simulated(t, "clockwork", 900)
	m := NewMaterial()
	v := verified(t, file, m)
	a, err := m.Emulate("faithful", v.Config)
	must(t, err)
	b, err := m.Emulate("faithful", v.Config)
	must(t, err)
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%+v\n%+v", a, b)
	}
}

func TestFieldsAreSetByName(t *testing.T) {
	c := policies.Defaults()
	for key, value := range map[string]string{
		"max-batch": "4", "Ahead": "7ms", "estimate.window": "20", "default_slo": "30ms", "ESTIMATE.PERCENTILE": "50",
	} {
		must(t, Set(&c, key, value))
	}
	if c.MaxBatch != 4 || c.Ahead != 7*time.Millisecond || c.Estimate.Window != 20 || c.DefaultSLO != 30*time.Millisecond || c.Estimate.Percentile != 50 {
		t.Errorf("%+v", c)
	}
	must(t, Set(&c, "without", "early,edf"))
	if !slices.Equal(c.Without, []string{"early", "edf"}) {
		t.Errorf("without %q", c.Without)
	}
	for key, row := range map[string]struct{ value, says string }{
		"max-batch": {"many", "no whole number"}, "ahead": {"7", "such as 5ms"}, "window": {"3", "no field"},
	} {
		if err := Set(&c, key, row.value); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s=%s: %v, wanted %q", key, row.value, err, row.says)
		}
	}
	if all := strings.Join(Keys(), " "); !strings.Contains(all, "max-load-budget") || !strings.Contains(all, "default-slo") {
		t.Error(all)
	}
}
