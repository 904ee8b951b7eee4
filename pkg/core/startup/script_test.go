package startup

import (
	"cmp"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	play "clockwork/pkg/testkit/script"
)

// TestScripts plays testdata/*.txt. A line is an instant and an event, as
// `script.event` reads them; what the machine gave out stands below.
func TestScripts(t *testing.T) {
	play.Play(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		s := newScript(t)
		return func(line string) string { return s.step(strings.Fields(line)) }
	})
}

// mending prints what is written to a store that has lost something.
func mending(mend Mending) string {
	var b strings.Builder
	for _, m := range mend.Models {
		fmt.Fprintf(&b, "write model %s, profiles=%v\n", m.Name, mend.Profiles)
	}
	if mend.Serving {
		fmt.Fprintf(&b, "write quarantine of %d and records of %d workers\n", len(mend.Quarantine), len(mend.Workers))
	}
	if mend.Stage != 0 {
		fmt.Fprintf(&b, "write stage %v\n", mend.Stage)
	}
	return cmp.Or(b.String(), "write nothing\n")
}

type script struct {
	t       *testing.T
	m       *Machine
	sent    []WorkerAction // without a result so far
	last    LoadResult
	lastJob uint64
	tokens  []uint64 // stores without an answer
	unstore []uint64 // likewise
	// backends are the versions of the workers' backend, by worker.
	backends map[string]string
}

func newScript(t *testing.T) *script {
	c := DefaultConfig()
	c.Issuer, c.PerWorker, c.MaxCopies, c.MaxLoads, c.MaxNames = 7, 2, 8, 4, 60
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []protocol.ServiceKind{protocol.Profiler, protocol.Scheduler, protocol.FrontDoor} {
		m.Step(0, ServiceSeen{Kind: kind, ID: "1", There: true})
	}
	return &script{t: t, m: m, backends: map[string]string{}}
}

// play plays lines outside of testdata.
func (s *script) play(body string) string {
	var b strings.Builder
	for line := range strings.Lines(body) {
		if fields := strings.Fields(line); len(fields) > 0 {
			b.WriteString(s.step(fields))
		}
	}
	return b.String()
}

func (s *script) step(fields []string) string {
	at, err := time.ParseDuration(fields[0])
	if err != nil {
		s.t.Fatal(err)
	}
	if fields[1] == "ls" {
		return list(s.m.Models())
	}
	if fields[1] == "mend" {
		return mending(s.m.Mend(StoreLoss{Stage: slices.Contains(fields[2:], "stage"), Models: slices.DeleteFunc(fields[2:], func(f string) bool { return f == "stage" })}))
	}
	if fields[1] == "blocked" {
		return fmt.Sprintf("profiler %s, front door %s; %s\n", s.m.Profiler(protocol.Time(at)), s.m.FrontDoor(protocol.Time(at)), cmp.Or(s.m.Blocked(protocol.Time(at)), "nothing is missing"))
	}
	out := s.m.Step(protocol.Time(at), s.event(fields[1], fields[2:]))
	for _, a := range out.Actions {
		if !slices.ContainsFunc(s.sent, func(o WorkerAction) bool { return o.Action.ID == a.Action.ID }) { // else it is sent again
			s.sent = append(s.sent, a)
		}
	}
	for _, st := range out.Store {
		s.tokens = append(s.tokens, st.Token)
	}
	for _, u := range out.Unstore {
		s.unstore = append(s.unstore, u.Token)
	}
	if out.StartProfiling != nil {
		s.lastJob = out.StartProfiling.Job
	}
	return print(out)
}

// event reads an event:
//
//	started STAGE|- [MODEL...] [profile:DIGEST@GPU[/VERSION]...] [quarantine:NAME...] [torn:NAME...]
//	                                 MODEL is name=path[#digest[:version[:max batch]]]
//	seen|lost WORKER[/INCARNATION]
//	state WORKER[/INCARNATION][@GPU] [epoch:N] [backend:VERSION] [MODEL...]
//	load TOKEN PATH [name=N] [copies=N]
//	ok|CODE WORKER PATH [MODEL]      the oldest load of the path there ends, with a MODEL as
//	                                 -#digest... as above, by default what was asked for
//	cleared|CODE-clear WORKER        the oldest ClearCache there ends
//	ok-renew|CODE-renew WORKER       the oldest Renew there ends
//	same                             the last result of these comes once more
//	stored|storefail|unstored        the oldest store or unstore ends
//	stage|conflict STAGE; fenced
//	profiler INCARNATION JOB; scheduler active|idle [EPOCH]; tick
//	there|gone KIND                  of a service; a profiler, a scheduler and a front door are there at first
//	confirmed WORKER[/INCARNATION] EPOCH   a scheduler has taken the worker that joined
//	ls; blocked                      no event: shows the models, or what is missing
//	profiled JOB [profile:DIGEST@GPU[/VERSION]...] [quarantine:MODEL...]
func (s *script) event(kind string, args []string) Event {
	switch kind {
	case "started":
		stage, _ := protocol.ParseStage(args[0])
		e := Started{Stage: stage, Models: specs(args[1:]), Profiles: profiles(args[1:]), Quarantined: quarantines(args[1:])}
		for _, a := range args[1:] {
			if name, ok := strings.CutPrefix(a, "torn:"); ok {
				e.Torn = append(e.Torn, name)
			}
		}
		return e
	case "seen":
		id, life, _ := workerOf(args[0])
		return WorkerSeen{id, life}
	case "lost":
		id, life, _ := workerOf(args[0])
		return WorkerLost{id, life}
	case "state":
		id, life, gpu := workerOf(args[0])
		state := protocol.WorkerState{ID: id, Incarnation: life, PageSize: 16, Models: specs(args[1:]), GPUs: []protocol.GPUState{{Type: gpu}}}
		for _, a := range args[1:] {
			if epoch, ok := strings.CutPrefix(a, "epoch:"); ok {
				state.Epoch = number(epoch)
			}
			if version, ok := strings.CutPrefix(a, "backend:"); ok {
				state.BackendVersion = version
				s.backends[id] = version
			}
		}
		for i := range state.Models {
			state.Models[i].BackendVersion = state.BackendVersion
		}
		return WorkerAnswered{state}
	case "load":
		return s.load(args)
	case "stored":
		return ModelsStored{s.token()}
	case "unstored":
		if len(s.unstore) == 0 {
			s.t.Fatal("no unstore waits")
		}
		token := s.unstore[0]
		s.unstore = s.unstore[1:]
		return ModelsUnstored{token}
	case "storefail":
		return StoreFailed{s.token()}
	case "stage":
		stage, _ := protocol.ParseStage(args[0])
		return StageStored{stage}
	case "conflict":
		stage, _ := protocol.ParseStage(args[0])
		return StageConflict{stage}
	case "fenced":
		return Fenced{}
	case "profiler":
		return ProfilerSeen{Incarnation: number(args[0]), Job: number(args[1])}
	case "scheduler":
		epoch := uint64(0)
		if len(args) > 1 {
			epoch = number(args[1])
		}
		return SchedulerSeen{Active: args[0] == "active", Epoch: epoch}
	case "there", "gone":
		return ServiceSeen{Kind: protocol.ServiceKind(args[0]), ID: "1", There: kind == "there"}
	case "confirmed":
		id, life, _ := workerOf(args[0])
		return JoinConfirmed{id, life, number(args[1])}
	case "same":
		return s.last
	case "tick":
		return Tick{}
	case "profiled":
		return ProfilingDone{Job: number(args[0]), Profiles: profiles(args[1:]), Quarantined: quarantines(args[1:])}
	}
	return s.result(kind, args)
}

func quarantines(args []string) []Quarantine {
	var list []Quarantine
	for _, a := range args {
		if name, ok := strings.CutPrefix(a, "quarantine:"); ok {
			list = append(list, Quarantine{Model: name, Reason: "absurd"})
		}
	}
	return list
}

func (s *script) load(args []string) Event {
	r := protocol.LoadRequest{Path: strings.Trim(args[1], `"`)}
	for _, a := range args[2:] {
		key, value, _ := strings.Cut(a, "=")
		switch key {
		case "name":
			r.Name = value
		case "copies":
			n, err := strconv.Atoi(value)
			if err != nil {
				s.t.Fatal(err)
			}
			r.Copies = &n
		}
	}
	return LoadRequested{number(args[0]), r}
}

func (s *script) result(code string, args []string) Event {
	kind := protocol.LoadModelFromDisk
	if base, ok := strings.CutSuffix(code, "-clear"); ok {
		kind, code = protocol.ClearCache, base
	}
	if code == "cleared" {
		kind, code = protocol.ClearCache, "ok"
	}
	if base, ok := strings.CutSuffix(code, "-renew"); ok {
		kind, code = protocol.Renew, base
	}
	i := slices.IndexFunc(s.sent, func(a WorkerAction) bool {
		return a.Worker == args[0] && a.Action.Kind == kind && (kind != protocol.LoadModelFromDisk || a.Action.Load.Path == args[1])
	})
	if i < 0 {
		s.t.Fatalf("no action waits for: %s %v", code, args)
	}
	a := s.sent[i].Action
	s.sent = slices.Delete(s.sent, i, i+1)
	digest := ""
	if len(args) > 2 {
		digest = "#" + strings.TrimPrefix(args[2], "digest=")
	}
	r := answer(args[0], a, protocol.Code(strings.ToUpper(code)), digest)
	for i := range r.Loaded {
		r.Loaded[i].BackendVersion = s.backends[args[0]]
	}
	s.last = LoadResult{r}
	return s.last
}

func answer(worker string, a protocol.Action, code protocol.Code, digest string) protocol.Result {
	r := protocol.Result{Action: a.ID, Issuer: a.Issuer, Worker: worker, Kind: a.Kind, Code: code}
	if code == protocol.OK && a.Kind == protocol.LoadModelFromDisk {
		if digest == "" && a.Load.Digest != "" {
			digest = fmt.Sprintf("#%s:%d:%d", a.Load.Digest, a.Load.Version, a.Load.MaxBatch)
		}
		for _, n := range a.Load.Names {
			r.Loaded = append(r.Loaded, spec(n+"="+a.Load.Path+digest))
		}
	}
	return r
}

func (s *script) token() uint64 {
	if len(s.tokens) == 0 {
		s.t.Fatal("no store waits")
	}
	token := s.tokens[0]
	s.tokens = s.tokens[1:]
	return token
}

func workerOf(s string) (id string, life uint64, gpu string) {
	s, gpu, ok := strings.Cut(s, "@")
	if !ok {
		gpu = "t4"
	}
	id, n, ok := strings.Cut(s, "/")
	if !ok {
		return id, 1, gpu
	}
	return id, number(n), gpu
}

func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

func specs(args []string) []protocol.ModelSpec {
	var list []protocol.ModelSpec
	for _, a := range args {
		if strings.Contains(a, "=") {
			list = append(list, spec(a))
		}
	}
	return list
}

// spec reads name=path[#digest[:version[:max batch]]]; the digest is the path's last element
// if there is none, the largest batch 1.
func spec(s string) protocol.ModelSpec {
	s, digest, ok := strings.Cut(s, "#")
	name, path, _ := strings.Cut(s, "=")
	if !ok {
		digest = filepath.Base(path)
	}
	digest, rest, _ := strings.Cut(digest, ":")
	version, most, sized := strings.Cut(rest, ":")
	m := protocol.ModelSpec{Name: name, Path: path, Digest: digest, BatchSizes: []int{1}, Pages: 3}
	if version != "" {
		m.Version = int(number(version))
	}
	for _, size := range protocol.BatchSizes[1:] {
		if sized && uint64(size) <= number(most) {
			m.BatchSizes = append(m.BatchSizes, size)
		}
	}
	return m
}

func profiles(args []string) []protocol.Profile {
	var list []protocol.Profile
	for _, a := range args {
		if key, ok := strings.CutPrefix(a, "profile:"); ok {
			digest, gpu, _ := strings.Cut(key, "@")
			gpu, version, _ := strings.Cut(gpu, "/")
			ok := protocol.Measurement{Samples: 1, Min: 1, P50: 1, P99: 1, Max: 1}
			p := protocol.Profile{Digest: digest, GPUType: gpu, BackendVersion: version, LoadWeights: ok}
			for _, size := range protocol.BatchSizes {
				p.Infer = append(p.Infer, protocol.BatchMeasurement{Batch: size, Measurement: ok})
			}
			list = append(list, p)
		}
	}
	return list
}
