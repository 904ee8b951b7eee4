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

// A script is blocks of lines "<ms> <event> <args>", each followed by ---- and
// what the core wants done. Before activation come "policy <name>" (else
// simple), "model <name>[:any] <pages> <load ms> <exec ms>..." (:any runs every
// batch size) and "config <field> <value>", times in ms;
// field input is the bytes of an item of the models that follow. Arguments:
//
//	activate <epoch>                     issuer is 7
//	join <worker> <incarnation> <gpus>[:type] <pages> [resident...]
//	                                     hosts all models; others take one page; ~a is
//	                                     being loaded or evicted
//	switch <set> <model>...              another set; whoever has joined hosts all of it
//	lost <worker>      door-lost <door>      tick
//	submit <seq>[-<seq>] <model> <batch> <budget ms> [crashes]   door is 1
//	withdraw <seq>
//	result <worker> <action> <code> [exec ms]          it ended just now
//	health <worker> <incarnation> <gpu>...             each is ok:N, stalled:N or
//	                                     restarting:N, N executors of it have ended
//	obeys <worker> <epoch>               a result that shows this epoch
//	state                                prints the state
//
// Actions are named by their number in the epoch.
func TestScripts(t *testing.T) {
	script.Play(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		s := &stage{policy: "simple", config: Defaults(), joined: map[string]uint64{}, actions: map[protocol.ActionID]protocol.Action{}}
		return func(line string) string { return s.run(t, strings.Fields(line)) }
	})
}

// stage is what a script has set up.
type stage struct {
	policy  string
	config  Config
	input   int64 // bytes of an item
	state   protocol.ClockworkState
	joined  map[string]uint64 // incarnations of workers
	core    Core
	actions map[protocol.ActionID]protocol.Action
}

func (s *stage) run(t *testing.T, f []string) string {
	num := func(i int) int {
		n, err := strconv.Atoi(f[i])
		if err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		return n
	}
	millis := func(text string) time.Duration {
		d, err := time.ParseDuration(text + "ms")
		if err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		return d
	}
	switch f[0] {
	case "model":
		var exec []time.Duration
		for _, text := range f[4:] {
			exec = append(exec, millis(text))
		}
		name, _, isAny := strings.Cut(f[1], ":any")
		m, p := spec(name, num(2), millis(f[3]), exec...)
		m.AnyBatch = isAny
		if s.input > 0 {
			m.Inputs = []protocol.TensorSpec{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{s.input}}}
		}
		s.state.Models = append(s.state.Models, m)
		if len(exec) > 0 {
			s.state.Profiles = append(s.state.Profiles, p)
		}
		return ""
	case "policy":
		s.policy = f[1]
		return ""
	case "config":
		s.configure(t, f[1], f[2], millis)
		return ""
	}
	if s.core == nil {
		var err error
		if s.core, err = AnyPolicy(s.policy, s.config); err != nil {
			t.Fatal(err)
		}
	}
	if f[1] == "state" {
		return s.core.String()
	}
	now := protocol.Time(millis(f[0]))
	if first, last, isRange := strings.Cut(f[2%len(f)], "-"); isRange && f[1] == "submit" {
		return s.submitAll(t, now, f, first, last, millis)
	}
	done, wake := s.print(s.core.Step(now, s.event(t, now, f[1:], num, millis)))
	return done + wake
}

// submitAll submits requests one after the other; only the last wake-up shows.
func (s *stage) submitAll(t *testing.T, now protocol.Time, f []string, first, last string, millis func(string) time.Duration) string {
	var all, wake string
	from, _ := strconv.Atoi(first)
	to, _ := strconv.Atoi(last)
	for seq := from; seq <= to; seq++ {
		one := slices.Clone(f)
		one[2] = strconv.Itoa(seq)
		num := func(i int) int { n, _ := strconv.Atoi(one[i]); return n }
		var done string
		done, wake = s.print(s.core.Step(now, s.event(t, now, one[1:], num, millis)))
		all += done
	}
	return all + wake
}

func (s *stage) configure(t *testing.T, field, value string, millis func(string) time.Duration) {
	c := &s.config
	times := map[string]*time.Duration{
		"lag": &c.Lag, "slo": &c.DefaultSLO, "buffer": &c.Buffer, "ahead": &c.Ahead, "future": &c.Future,
		"silent": &c.Silent, "max-load-budget": &c.MaxLoadBudget, "max-exec": &c.MaxExec,
		"quarantine-window": &c.QuarantineWindow, "quarantine-for": &c.QuarantineFor,
	}
	counts := map[string]*int{"attempts": &c.Attempts, "outstanding": &c.Outstanding, "quarantine-after": &c.QuarantineAfter, "max-batch": &c.MaxBatch, "window": &c.Estimate.Window}
	switch {
	case field == "input" || field == "max-inbound":
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			t.Fatalf("config %s: %v", field, err)
		}
		*map[string]*int64{"input": &s.input, "max-inbound": &c.MaxInbound}[field] = n
	case times[field] != nil:
		*times[field] = millis(value)
	case counts[field] != nil:
		n, err := strconv.Atoi(value)
		if err != nil {
			t.Fatalf("config %s: %v", field, err)
		}
		*counts[field] = n
	default:
		t.Fatalf("no field of the configuration is called %q", field)
	}
}

func (s *stage) event(t *testing.T, now protocol.Time, f []string, num func(int) int, millis func(string) time.Duration) Event {
	switch f[0] {
	case "activate":
		return &Activate{Epoch: uint64(num(2)), Issuer: 7, State: s.state}
	case "join":
		w := protocol.WorkerState{ID: f[1], Incarnation: uint64(num(3)), Models: s.state.Models}
		count, kind, has := strings.Cut(f[3], ":")
		if !has {
			kind = "t4"
		}
		gpus, err := strconv.Atoi(count)
		if err != nil {
			t.Fatalf("%v: %v", f, err)
		}
		for id := range gpus {
			g := protocol.GPUState{ID: id, Type: kind, PagesTotal: num(5)}
			for _, name := range f[5:] {
				pages, to := 1, &g.Models
				if strings.HasPrefix(name, "~") {
					name, to = name[1:], &g.Moving
				}
				*to = append(*to, name)
				for _, m := range s.state.Models {
					if name == m.Name {
						pages = m.Pages
					}
				}
				g.PagesUsed += pages
			}
			w.GPUs = append(w.GPUs, g)
		}
		s.joined[w.ID] = w.Incarnation
		return &WorkerJoined{State: w}
	case "switch":
		return &SetSwitched{State: s.setOf(uint64(num(2)), f[2:])}
	case "lost":
		return &WorkerLost{ID: f[1]}
	case "door-lost":
		return &DoorLost{Door: uint64(num(2))}
	case "answered":
		e := &Answered{Door: 1}
		for i := range f[1:] {
			e.Seqs = append(e.Seqs, uint64(num(i+2)))
		}
		return e
	case "withdraw":
		return &Withdraw{protocol.RequestID{Door: 1, Seq: uint64(num(2))}}
	case "submit":
		s := protocol.Submission{ID: protocol.RequestID{Door: 1, Seq: uint64(num(2))}, Model: f[2], Batch: num(4), Budget: millis(f[4])}
		if len(f) > 5 {
			s.Crashes = uint8(num(6))
		}
		return &Submit{s}
	case "health":
		e := &GPUHealth{ID: f[1], Incarnation: uint64(num(3))}
		for _, g := range f[3:] {
			state, ended, _ := strings.Cut(g, ":")
			n, err := strconv.Atoi(ended)
			if err != nil || state != "ok" && state != "stalled" && state != "restarting" {
				t.Fatalf("%v: %q is no GPU", f, g)
			}
			e.GPUs = append(e.GPUs, protocol.GPUBeat{Stalled: state != "ok", Restarting: state == "restarting", Executor: uint32(n)})
		}
		return e
	case "result":
		a := s.actions[protocol.ActionID(num(3))]
		r := protocol.Result{Action: a.ID, Issuer: a.Issuer, Epoch: a.Epoch, Worker: f[1], Kind: a.Kind, Code: protocol.Code(f[3])}
		if len(f) > 4 {
			r.Begin, r.End = now.Add(-millis(f[4])), now
		}
		return &Result{r}
	case "obeys":
		return &Result{protocol.Result{Worker: f[1], Epoch: uint64(num(3))}}
	case "tick":
		return &Tick{}
	}
	t.Fatalf("no event is called %q", f[0])
	return nil
}

// setOf returns a set of models that were described before.
func (s *stage) setOf(number uint64, names []string) protocol.ClockworkState {
	set := protocol.ClockworkState{Set: number, Profiles: s.state.Profiles}
	for _, m := range s.state.Models {
		if slices.Contains(names, m.Name) {
			set.Models = append(set.Models, m)
		}
	}
	for id, incarnation := range s.joined {
		set.Workers = append(set.Workers, protocol.WorkerState{ID: id, Incarnation: incarnation, Models: set.Models})
	}
	return set
}

func incidentText(i Incident) string {
	switch i.Kind {
	case ExecutionCrashed:
		return fmt.Sprintf("an executor of %s gpu %d ended with %d requests of %s", i.Worker, i.GPU, i.Requests, i.Model)
	case ExecutionHung:
		return fmt.Sprintf("%s gpu %d hung with %d requests of %s", i.Worker, i.GPU, i.Requests, i.Model)
	case WorkerCrashed:
		return fmt.Sprintf("%s was lost with %d requests of %s on gpu %d", i.Worker, i.Requests, i.Model, i.GPU)
	case GPUStalled:
		return fmt.Sprintf("%s gpu %d is stalled", i.Worker, i.GPU)
	case GPUServes:
		return fmt.Sprintf("%s gpu %d serves again", i.Worker, i.GPU)
	}
	return fmt.Sprintf("%s is quarantined for %v, %d waited", i.Model, i.For, i.Requests)
}

func (s *stage) print(out Output) (done, wake string) {
	var b strings.Builder
	for _, o := range out.Actions {
		a := o.Action
		number := a.ID % (1 << epochShift)
		s.actions[number] = a
		fmt.Fprintf(&b, "%s#%d gpu %d: action %d %s %s", o.Worker, a.Incarnation, a.GPU, number, a.Kind, a.Model)
		switch len(a.Requests) {
		case 0:
		case 1:
			fmt.Fprintf(&b, " request %d of %d at batch %d", a.Requests[0].ID.Seq, a.Requests[0].Batch, a.Batch)
		default:
			items := 0
			b.WriteString(" requests")
			for _, r := range a.Requests {
				fmt.Fprintf(&b, " %d", r.ID.Seq)
				items += r.Batch
			}
			fmt.Fprintf(&b, " of %d at batch %d", items, a.Batch)
		}
		fmt.Fprintf(&b, " in %v to %v, takes %v\n", a.Earliest, a.Latest, a.Expected)
	}
	for i, d := range out.Dispatches {
		same := func(e protocol.Dispatch) bool {
			return e.Worker == d.Worker && e.Cold == d.Cold && e.Crashes == d.Crashes
		}
		if i > 0 && same(out.Dispatches[i-1]) {
			continue
		}
		b.WriteString("dispatch")
		for _, e := range out.Dispatches[i:] {
			if !same(e) {
				break
			}
			fmt.Fprintf(&b, " %d", e.ID.Seq)
		}
		fmt.Fprintf(&b, " to %s cold=%v", d.Worker, d.Cold)
		if d.Crashes > 0 {
			fmt.Fprintf(&b, " crashes=%d", d.Crashes)
		}
		b.WriteString("\n")
	}
	for i, d := range out.Refusals {
		text := d.Refusal.Error()
		if i == 0 || out.Refusals[i-1].Refusal.Error() != text {
			b.WriteString("refuse")
		}
		fmt.Fprintf(&b, " %d", d.ID.Seq)
		if i == len(out.Refusals)-1 || out.Refusals[i+1].Refusal.Error() != text {
			fmt.Fprintf(&b, " %s\n", text)
		}
	}
	for _, l := range out.Late {
		fmt.Fprintf(&b, "late %d: %s\n", l.ID.Seq, map[Why]string{WhySlow: "its execution was slow", WhySlowBefore: "it began late"}[l.Why])
	}
	for _, u := range out.Unanswered {
		fmt.Fprintf(&b, "action %d has no result, lost=%v\n", u.Action%(1<<epochShift), u.Lost)
	}
	for _, i := range out.Incidents {
		fmt.Fprintf(&b, "incident: %s\n", incidentText(i))
	}
	return b.String(), fmt.Sprintf("wake %v\n", out.Wake)
}
