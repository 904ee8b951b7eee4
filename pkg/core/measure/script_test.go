package measure

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	play "clockwork/pkg/testkit/script"
)

// TestScripts plays testdata/*.txt. A line is an instant and an event, as
// `script.event` reads them; what the machine gave out stands below. The
// machine measures each action once, unless a line `iterations N` comes first.
func TestScripts(t *testing.T) {
	play.Play(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		s := newScript(t, 1)
		return func(line string) string {
			fields := strings.Fields(line)
			if fields[0] == "iterations" {
				*s = *newScript(t, int(number(fields[1])))
				return ""
			}
			return s.line(fields)
		}
	})
}

type script struct {
	t      *testing.T
	m      *Machine
	models map[string]protocol.ModelSpec // of the last job, by name
	due    map[string]WorkerAction       // what was sent to each GPU last, as in w1.0
	stores []Store                       // without an answer
	last   protocol.Result
}

func newScript(t *testing.T, iterations int) *script {
	m, err := New(Config{Issuer: 7, Iterations: iterations, ActionTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return &script{t: t, m: m, models: map[string]protocol.ModelSpec{}, due: map[string]WorkerAction{}}
}

// line plays one line:
//
//	job ID [controller=TERM] MODEL... WORKER... [known PROFILE...]
//	                MODEL is name:batch,batch[#digest][/pages], WORKER as below with @type,type
//	read PROFILE... PROFILE is name@type, or name@type:weights,batch... for a part
//	ok WORKER [TAKES] [xN]   the action there ends well, so many times in a row; what
//	                         is stored meanwhile is stored
//	all WORKER [TAKES]       the same, until the GPU has ended its unit
//	CODE WORKER [xN]         it is refused or fails
//	same                     the last result comes again
//	stored                   the oldest store ends
//	elected TERM
//	seen|lost WORKER; abandon; tick; show
//
// A WORKER is name[/incarnation][.gpu].
func (s *script) line(fields []string) string {
	at, err := time.ParseDuration(fields[0])
	if err != nil {
		s.t.Fatal(err)
	}
	now, args := protocol.Time(at), fields[2:]
	switch fields[1] {
	case "show":
		return s.m.String()
	case "ok", "all":
		return s.well(now, fields[1] == "all", args)
	case "job":
		return s.step(now, JobGiven{s.job(args)})
	case "read":
		return s.step(now, ProfilesRead{Job: s.m.Job(), Profiles: s.profiles(args)})
	case "stored":
		return s.step(now, s.stored())
	case "seen":
		w := workerOf(args[0])
		return s.step(now, WorkerSeen{w.ID, w.Incarnation})
	case "lost":
		w := workerOf(args[0])
		return s.step(now, WorkerLost{w.ID, w.Incarnation})
	case "elected":
		return s.step(now, Elected{Term: number(args[0])})
	case "abandon":
		return s.step(now, Abandon{})
	case "tick":
		return s.step(now, Tick{})
	case "same":
		return s.step(now, ActionResult{s.last})
	}
	var shown string
	for range times(args) {
		shown = s.step(now, s.result(args[0], protocol.Code(fields[1]), 0))
	}
	return shown
}

// well lets actions end well, and shows what the machine gave out but for the
// actions between.
func (s *script) well(now protocol.Time, all bool, args []string) string {
	takes, n := time.Millisecond, times(args)
	for _, a := range args[1:] {
		if d, err := time.ParseDuration(a); err == nil {
			takes = d
		}
	}
	var shown string
	for i := 0; i < n || all; i++ {
		last := s.due[gpuOf(args[0])].Action.Kind == protocol.EvictWeights
		text := s.step(now, s.result(args[0], protocol.OK, takes))
		for len(s.stores) > 0 && (all || n > 1) {
			text += s.step(now, s.stored())
		}
		if shown += text; all && last && s.ended(args[0]) {
			break
		}
		if all && i > 1000 {
			s.t.Fatal("the unit does not end")
		}
	}
	if all || n > 1 {
		shown = brief(shown)
	}
	return shown
}

// ended reports whether the GPU has no part of the unit left to do.
func (s *script) ended(worker string) bool {
	a, waits := s.due[gpuOf(worker)]
	return !waits || a.Action.Kind == protocol.ClearCache
}

// brief leaves out what a reader can fill in: actions but the last one, stores,
// and when the machine wants to be woken between.
func brief(shown string) string {
	var kept []string
	lines := strings.SplitAfter(shown, "\n")
	for i, line := range lines {
		between := i < len(lines)-3
		if between && (strings.Contains(line, " #") || strings.HasPrefix(line, "wake")) || strings.HasPrefix(line, "store #") {
			continue
		}
		kept = append(kept, line)
	}
	return strings.Join(kept, "")
}

func (s *script) step(now protocol.Time, e Event) string {
	out := s.m.Step(now, e)
	for _, a := range out.Actions {
		gpu := fmt.Sprintf("%s.%d", a.Worker, a.Action.GPU)
		if _, waits := s.due[gpu]; waits && s.m.byToken[s.due[gpu].Action.ID] != nil {
			s.t.Fatalf("%s has an action already", gpu)
		}
		s.due[gpu] = a
	}
	s.stores = append(s.stores, out.Store...)
	return print(out)
}

func (s *script) result(worker string, code protocol.Code, takes time.Duration) Event {
	a, waits := s.due[gpuOf(worker)]
	if !waits {
		s.t.Fatalf("no action waits at %s", worker)
	}
	delete(s.due, gpuOf(worker))
	s.last = protocol.Result{Action: a.Action.ID, Issuer: 7, Worker: a.Worker, Kind: a.Action.Kind, Code: code, Exec: protocol.Phase{Device: takes}}
	return ActionResult{s.last}
}

func (s *script) stored() Event {
	if len(s.stores) == 0 {
		s.t.Fatal("no store waits")
	}
	token := s.stores[0].Token
	s.stores = s.stores[1:]
	return ProfileStored{token}
}

func (s *script) job(args []string) protocol.ProfileJob {
	j := protocol.ProfileJob{ID: number(args[0])}
	for i, a := range args[1:] {
		term, led := strings.CutPrefix(a, "controller=")
		switch {
		case led:
			j.Term = number(term)
		case a == "known":
			j.Known = s.profiles(args[i+2:])
			return j
		case strings.Contains(a, "@"):
			j.Workers = append(j.Workers, workerOf(a))
		default:
			spec := specOf(a)
			s.models[spec.Name] = spec
			j.Models = append(j.Models, spec)
		}
	}
	return j
}

// specOf reads name:batch,batch[#digest][/pages].
func specOf(text string) protocol.ModelSpec {
	text, pages, _ := strings.Cut(text, "/")
	text, digest, _ := strings.Cut(text, "#")
	name, batches, _ := strings.Cut(text, ":")
	spec := protocol.ModelSpec{Name: name, Digest: digest, Pages: 1}
	if digest == "" {
		spec.Digest = name
	}
	if pages != "" {
		spec.Pages = int(number(pages))
	}
	for _, b := range strings.Split(batches, ",") {
		spec.BatchSizes = append(spec.BatchSizes, int(number(b)))
	}
	return spec
}

// workerOf reads name[/incarnation][.gpu][@type,type]; each GPU has 10 pages.
func workerOf(text string) protocol.WorkerState {
	text, types, _ := strings.Cut(text, "@")
	text, _, _ = strings.Cut(text, ".")
	id, incarnation, _ := strings.Cut(text, "/")
	w := protocol.WorkerState{ID: id, Incarnation: 1}
	if incarnation != "" {
		w.Incarnation = number(incarnation)
	}
	for i, t := range strings.Split(types, ",") {
		w.GPUs = append(w.GPUs, protocol.GPUState{ID: i, Type: t, PagesTotal: 10})
	}
	return w
}

// gpuOf names a worker's GPU, the first one unless the text says which.
func gpuOf(text string) string {
	id, _, _ := strings.Cut(text, "/")
	if !strings.Contains(id, ".") {
		id += ".0"
	}
	return id
}

func (s *script) profiles(args []string) []protocol.Profile {
	var list []protocol.Profile
	valid := protocol.Measurement{Samples: 1, Min: 1, P50: 1, P99: 1, Max: 1}
	for _, a := range args {
		key, parts, some := strings.Cut(a, ":")
		name, kind, _ := strings.Cut(key, "@")
		model := s.models[name]
		p := protocol.Profile{Digest: model.Digest, GPUType: kind}
		has := strings.Split(parts, ",")
		if !some || slices.Contains(has, "weights") {
			p.LoadWeights = valid
		}
		for _, b := range model.BatchSizes {
			if !some || slices.Contains(has, strconv.Itoa(b)) {
				p.Infer = append(p.Infer, protocol.BatchMeasurement{Batch: b, Measurement: valid})
			}
		}
		list = append(list, p)
	}
	return list
}

func times(args []string) int {
	for _, a := range args {
		if n, is := strings.CutPrefix(a, "x"); is {
			return int(number(n))
		}
	}
	return 1
}

func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// print writes an output as scripts show it, a line for each thing.
func print(o Output) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if o.Begun != nil {
		line("begun job %d: %d units of %d models, %d stored", o.Begun.Job, o.Begun.Units, o.Begun.Models, o.Begun.Stored)
	}
	for _, a := range o.Actions {
		batch := ""
		if a.Action.Batch > 0 {
			batch = fmt.Sprintf(" batch %d", a.Action.Batch)
		}
		term := ""
		if l := a.Action.Leader; l.Term != 0 {
			term = fmt.Sprintf(" as %s of term %d", l.Service, l.Term)
		}
		line("%s.%d %s %s%s #%d%s", a.Worker, a.Action.GPU, a.Action.Kind, a.Action.Model, batch, a.Action.ID, term)
	}
	if o.Read != nil {
		var keys []string
		for _, k := range o.Read.Keys {
			keys = append(keys, k.Digest+"@"+k.GPUType)
		}
		line("read %s", strings.Join(keys, " "))
	}
	for _, s := range o.Store {
		line("store #%d %s", s.Token, profileText(s.Profile))
	}
	for _, e := range o.Progress {
		line("%d of %d: %s on %s: %s", e.Done, e.Total, e.Model, e.Worker, e.Message)
	}
	for _, s := range o.Setbacks {
		line("%s: %s on %s.%d, %d: %s", s.Kind, s.Model, s.Worker, s.GPU, s.Times, s.Reason)
	}
	if o.Confirm {
		line("confirm")
	}
	if o.Unfinished != nil {
		line("unfinished job %d: %d units", o.Unfinished.Job, o.Unfinished.Units)
	}
	if r := o.Report; r != nil {
		line("report of job %d", r.ID)
		for _, p := range r.Profiles {
			line("  %s", profileText(p))
		}
		for _, f := range r.Failures {
			line("  %s@%s: %s", f.Digest, f.GPUType, f.Reason)
		}
	}
	line("wake %s", o.Wake)
	return b.String()
}

// profileText shows the medians of a profile.
func profileText(p protocol.Profile) string {
	text := p.Digest + "@" + p.GPUType
	if p.LoadWeights.Valid() {
		text += fmt.Sprintf(" weights %v", p.LoadWeights.P50)
	}
	for _, b := range p.Infer {
		text += fmt.Sprintf(" %d:%v", b.Batch, b.P50)
	}
	return text
}
