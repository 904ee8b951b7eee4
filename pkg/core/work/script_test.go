package work

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	play "clockwork/pkg/testkit/script"
)

// TestScripts plays testdata/*.txt. A line is an instant in milliseconds and an event,
// as `script.event` reads them; what the worker wants done stands below. The first line
// may say what the worker is, as `script.begin` reads it.
func TestScripts(t *testing.T) {
	play.Play(t, "testdata/*.txt", func(t *testing.T) func(string) string {
		s := &script{t: t}
		s.begin(nil)
		return func(line string) string { return s.play(strings.Fields(line)) }
	})
}

// script is a worker and what its driver owes it.
type script struct {
	t       *testing.T
	now     protocol.Time
	worker  *Worker
	owed    map[string]*Order // what the driver is at, by "stage #1", "execute #1" ...
	begun   map[*Order]protocol.Time
	handles int
}

func (s *script) play(fields []string) string {
	if fields[0] == "worker" {
		s.begin(fields[1:])
		return ""
	}
	s.now = millis(fields[0])
	return s.line(fields[1], fields[2:])
}

// begin makes a worker, incarnation 10 of w, whose GPUs have 8 pages each:
//
//	worker [gpus=1] [holds=a,b] [loaded=a,b] [generate] [hung] [ahead=60s] [wait=60s]
//	       [queued=N] [inputs=N] [bytes=N] [models=N] [loads=N] [readers=N] [slow=60s] [output=N]
//	       [restart=15s]
//
// With hung, it finds what takes 10 times what was expected and 200 ms more overdue, or
// 3 s if nothing was expected. It holds models in memory, and their weights on its first GPU.
// Models are those of worldModels; each is at the path p/NAME.
func (s *script) begin(args []string) {
	c := Defaults()
	c.Name, c.Incarnation, c.Backend, c.BackendVersion = "w", 10, "fake", "1"
	gpus, options := 1, map[string]string{}
	for _, a := range args {
		key, value, _ := strings.Cut(a, "=")
		options[key] = value
		switch key {
		case "generate":
			c.GenerateInputs = true
		case "hung":
			c.Overdue = Overdue{Factor: 10, Floor: 200 * time.Millisecond, Unmeasured: 3 * time.Second}
		case "ahead":
			c.Ahead = duration(value)
		case "slow":
			c.SlowLoad = duration(value)
		case "restart":
			c.RestartWithin = duration(value)
		case "wait":
			c.InputWait = duration(value)
		case "holds", "loaded":
		default:
			n, to := number(value), map[string]*int{"gpus": &gpus, "queued": &c.MaxQueued, "inputs": &c.MaxInputs,
				"models": &c.MaxModels, "loads": &c.MaxLoads, "readers": &c.ConcurrentLoads}[key]
			switch {
			case key == "bytes":
				c.MaxInputBytes = int64(n)
			case key == "output":
				c.MaxOutput = int64(n)
			case to != nil:
				*to = n
			default:
				s.t.Fatalf("no worker has %q", a)
			}
		}
	}
	for range gpus {
		c.GPUs = append(c.GPUs, GPU{Type: "t", Pages: 8, PageSize: 1})
	}
	s.now, s.worker, s.owed, s.begun, s.handles = 0, New(c), map[string]*Order{}, map[*Order]protocol.Time{}, 0
	id := protocol.ActionID(0)
	give := func(a protocol.Action) *Output {
		id++
		a.ID, a.Latest = id, protocol.Never
		return s.worker.Step(0, &Received{Action: a})
	}
	for _, name := range list(options["holds"]) {
		out := give(protocol.Action{Kind: protocol.LoadModelFromDisk, Load: &protocol.LoadSpec{Path: "p/" + name, Names: []string{name}}})
		s.handles++
		s.worker.Step(0, &ModelRead{Order: out.Read[0], Spec: worldSpec("p/" + name), Handle: s.handles})
	}
	for _, name := range list(options["loaded"]) {
		out := give(protocol.Action{Kind: protocol.LoadWeights, Model: name})
		s.worker.Step(0, &Transferred{Order: out.Transfer[0]})
	}
}

// line plays one event:
//
//	read #ID NAME,NAME PATH       a LoadModelFromDisk, - for no names; `maxbatch=N` bounds it,
//	                              `within=N` says for how many ms it may last
//	load|evict #ID MODEL          weights
//	infer #ID MODEL BATCH REQUEST...   REQUEST is rN, rN*ITEMS, rN? for a generated one
//	clear #ID [MODEL,MODEL]       on all GPUs unless gpuN
//	state #ID                     GetWorkerState
//	renew #ID                     Renew
//	odd #ID                       an action of a kind that nobody knows
//	                 each with [EARLIEST,LATEST] in ms, takesN for the ms it is expected to
//	                 take, eN for an epoch, incN for an incarnation, gpuN, byN for another
//	                 issuer than 7, controllerN or profilerN for the term of its lease
//	input rN [BYTES]              a payload, of one item unless said otherwise
//	staged|ran|fetched|moved|was-read #ID [CODE]   the driver ends what it owes; ran with
//	                 `out` has copied outputs along, moved with keep=NAME could not drop
//	                 that one, was-read with digest=NAME has read what others are, too.
//	                 The part that GPU N has of a clear is #ID.N
//	late #ID                      the driver asks whether it may begin still, and does not if not
//	clock eN AHEAD [xN]           readings of the scheduler's clock, in ms ahead
//	lost gpuN xN; ready gpuN      the N-th process of a GPU ended; the next one is ready
//	stop; abandon; tick; show; beat
func (s *script) line(what string, args []string) string {
	switch what {
	case "show":
		return s.worker.String()
	case "beat":
		h := s.worker.Heartbeat()
		text := fmt.Sprintf("%s, epoch %d, clock of epoch %d, %d in flight\n", h.State, h.Epoch, h.ClockEpoch, h.InFlight)
		for i, g := range h.GPUs {
			text += fmt.Sprintf("GPU %d: stalled %v, restarting %v, executor %d\n", i, g.Stalled, g.Restarting, g.Executor)
		}
		return text
	case "lost":
		return s.step(&ExecutorLost{GPU: number(args[0][3:]), Executor: uint32(number(args[1][1:]))})
	case "ready":
		return s.step(&ExecutorReady{GPU: number(args[0][3:])})
	case "clock":
		for range times(args) - 1 {
			s.worker.Step(s.now, s.reading(args))
		}
		return s.step(s.reading(args))
	case "input":
		bytes := itemBytes
		if len(args) > 1 {
			bytes = number(args[1])
		}
		return s.step(&Input{ID: request(args[0]).ID, Bytes: int64(bytes), Data: make([]byte, bytes)})
	case "staged", "ran", "fetched", "moved", "was-read", "late":
		return s.step(s.end(what, args))
	case "stop":
		return s.step(&Stop{})
	case "abandon":
		return s.step(&Abandon{})
	case "tick":
		return s.step(&Tick{})
	}
	return s.step(&Received{Action: s.action(what, args)})
}

func (s *script) reading(args []string) Event {
	ahead := time.Duration(number(args[1])) * time.Millisecond
	return &ClockReading{Epoch: uint64(number(args[0][1:])), Asked: s.now, Answered: s.now, Remote: s.now.Add(ahead)}
}

var kinds = map[string]protocol.Kind{"read": protocol.LoadModelFromDisk, "load": protocol.LoadWeights, "evict": protocol.EvictWeights,
	"infer": protocol.Infer, "clear": protocol.ClearCache, "state": protocol.GetWorkerState, "renew": protocol.Renew, "odd": 99}

func (s *script) action(what string, args []string) protocol.Action {
	kind, known := kinds[what]
	if !known {
		s.t.Fatalf("no event %q", what)
	}
	a := protocol.Action{ID: protocol.ActionID(number(args[0][1:])), Issuer: 7, Kind: kind, Latest: protocol.Never}
	if kind == protocol.ClearCache {
		a.GPU = -1
	}
	var rest []string
	for _, arg := range args[1:] {
		switch earliest, latest, window := strings.Cut(strings.Trim(arg, "[]"), ","); {
		case window && arg[0] == '[':
			a.Earliest, a.Latest = millis(earliest), millis(latest)
		case option(arg, "gpu"):
			a.GPU = number(arg[3:])
		case option(arg, "takes"):
			a.Expected = time.Duration(number(arg[5:])) * time.Millisecond
		case option(arg, "inc"):
			a.Incarnation = uint64(number(arg[3:]))
		case option(arg, "by"):
			a.Issuer = uint64(number(arg[2:]))
		case option(arg, "controller"):
			a.Leader = protocol.Leader{Service: protocol.Controller, Term: uint64(number(arg[10:]))}
		case option(arg, "profiler"):
			a.Leader = protocol.Leader{Service: protocol.Profiler, Term: uint64(number(arg[8:]))}
		case option(arg, "e"):
			a.Epoch = uint64(number(arg[1:]))
		default:
			rest = append(rest, arg)
		}
	}
	switch kind {
	case protocol.LoadModelFromDisk:
		a.Load = &protocol.LoadSpec{Names: list(rest[0]), Path: rest[1]}
		for _, arg := range rest[2:] {
			if arg == "compare" {
				a.Load.Compare = true
				continue
			}
			if within, is := strings.CutPrefix(arg, "within="); is {
				a.Load.Within = time.Duration(number(within)) * time.Millisecond
				continue
			}
			a.Load.MaxBatch = number(strings.TrimPrefix(arg, "maxbatch="))
		}
	case protocol.ClearCache:
		for _, arg := range rest {
			a.Models = list(arg)
		}
	case protocol.Infer:
		a.Model, a.Batch = rest[0], number(rest[1])
		for _, arg := range rest[2:] {
			a.Requests = append(a.Requests, request(arg))
		}
	case protocol.LoadWeights, protocol.EvictWeights:
		a.Model = rest[0]
	}
	return a
}

// end is the event that the driver owes for an order.
func (s *script) end(what string, args []string) Event {
	owed := map[string]string{"staged": "stage", "ran": "execute", "fetched": "fetch", "moved": "transfer", "was-read": "read", "late": "execute"}[what]
	o := s.owed[owed+" "+args[0]]
	if o == nil {
		s.t.Fatalf("at %v nobody has to %s %s", s.now, owed, args[0])
	}
	delete(s.owed, owed+" "+args[0])
	var refusal *protocol.Error
	var kept []string
	fetched, digest := false, ""
	for _, arg := range args[1:] {
		switch {
		case arg == "out":
			fetched = true
		case strings.HasPrefix(arg, "keep="):
			kept = list(arg[len("keep="):])
		case strings.HasPrefix(arg, "digest="):
			digest = arg[len("digest="):]
		default:
			refusal = protocol.Refusal(protocol.Code(arg))
		}
	}
	begin := s.begun[o]
	switch what {
	case "staged":
		return &Staged{Order: o, Refusal: refusal, Phase: protocol.Phase{Begin: begin, End: s.now}}
	case "late":
		if refusal = o.Late(s.now); refusal == nil {
			s.t.Fatalf("%s may begin at %v", args[0], s.now)
		}
		return &Executed{Order: o, Refusal: refusal}
	case "ran":
		return &Executed{Order: o, Refusal: refusal, Begin: begin, End: s.now, Fetched: fetched}
	case "fetched":
		return &Fetched{Order: o, Refusal: refusal}
	case "moved":
		return &Transferred{Order: o, Refusal: refusal, Begin: begin, End: s.now, Kept: kept}
	}
	e := &ModelRead{Order: o, Refusal: refusal, Begin: begin, End: s.now}
	if refusal == nil {
		s.handles++
		e.Spec, e.Handle = worldSpec(o.Action.Load.Path), s.handles
		if digest != "" {
			e.Spec.Digest = digest
		}
	}
	return e
}

// step shows what the worker wants done, a line for each thing, in the order in which
// a driver does it.
func (s *script) step(e Event) string {
	out := s.worker.Step(s.now, e)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	owe := func(what string, o *Order) string {
		name := fmt.Sprintf("#%d", o.Action.ID)
		if o.Action.Kind == protocol.ClearCache {
			name += fmt.Sprintf(".%d", o.GPU)
		}
		if s.owed[what+" "+name] != nil {
			s.t.Errorf("at %v the driver is to %s %s twice", s.now, what, name)
		}
		s.owed[what+" "+name], s.begun[o] = o, s.now
		return name
	}
	for _, o := range out.Stage {
		line("stage %s: %d bytes", owe("stage", o), o.InputBytes)
	}
	for _, o := range out.Execute {
		line("execute %s on GPU %d: items %v", owe("execute", o), o.GPU, o.Items())
	}
	for _, o := range out.Fetch {
		line("fetch %s", owe("fetch", o))
	}
	for _, o := range out.Transfer {
		switch name := owe("transfer", o); o.Action.Kind {
		case protocol.LoadWeights:
			line("load %s on GPU %d: %s into %v", name, o.GPU, o.Action.Model, o.Frames)
		case protocol.EvictWeights:
			line("evict %s on GPU %d: %s", name, o.GPU, o.Action.Model)
		default:
			line("clear %s: %v", name, o.Dropping)
		}
	}
	for _, o := range out.Overdue {
		line("overdue on GPU %d: #%d after %v", o.GPU, o.Action.ID, s.now.Sub(s.begun[o]))
	}
	for _, s := range out.HungStarts {
		line("the start on GPU %d hangs after %v", s.GPU, s.After)
	}
	for _, o := range out.GivenUp {
		line("give up #%d", o.Action.ID)
	}
	for _, o := range out.Read {
		line("read %s: %s", owe("read", o), o.Action.Load.Path)
	}
	for _, o := range out.Deliver {
		line("deliver #%d", o.Action.ID)
	}
	for _, o := range out.Release {
		line("release #%d", o.Action.ID)
	}
	for _, m := range out.Close {
		line("close model %v", m.Handle)
	}
	if out.Renewed {
		line("begins anew as incarnation %d", s.worker.Incarnation())
	}
	for i := range out.Results {
		line("%s", resultText(&out.Results[i]))
	}
	for i := range out.Again {
		line("again %s", resultText(&out.Again[i]))
	}
	for _, id := range out.Dropped {
		line("dropped r%d", id.Seq)
	}
	if out.Stepped {
		line("stepped: the clock is measured anew")
	}
	if out.ClockKnown {
		line("the clock is known")
	}
	if at := out.Wake; at%1e6 == 1 { // past a latest begin, by the least
		line("wake after %d", at/1e6)
	} else if at != protocol.Never {
		line("wake %d", at/1e6)
	}
	return b.String()
}

// resultText shows a result with its times in ms.
func resultText(r *protocol.Result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "#%d %s", r.Action, r.Code)
	if r.Issuer != 7 {
		fmt.Fprintf(&b, " to %d", r.Issuer)
	}
	if r.End != 0 {
		fmt.Fprintf(&b, " from %d to %d", r.Begin/1e6, r.End/1e6)
	}
	if len(r.Loaded) > 0 {
		b.WriteString(" loaded")
		for _, m := range r.Loaded {
			b.WriteString(" " + m.Name)
		}
	}
	if s := r.State; s != nil {
		fmt.Fprintf(&b, ", obeys epoch %d, holds", s.Epoch)
		for _, m := range s.Models {
			b.WriteString(" " + m.Name)
		}
		for _, g := range s.GPUs {
			fmt.Fprintf(&b, "; GPU %d has %d of %d pages for %v", g.ID, g.PagesUsed, g.PagesTotal, g.Models)
			if len(g.Moving) > 0 {
				fmt.Fprintf(&b, ", moving %v", g.Moving)
			}
			if g.Stalled != "" {
				fmt.Fprintf(&b, ", %s", g.Stalled)
			}
		}
	}
	if r.Message != "" {
		fmt.Fprintf(&b, ": %s", r.Message)
	}
	return b.String()
}

// request reads rN, rN*ITEMS or rN?.
func request(text string) protocol.RequestRef {
	text, generated := strings.CutSuffix(text, "?")
	text, items, several := strings.Cut(text, "*")
	r := protocol.RequestRef{ID: protocol.RequestID{Seq: uint64(number(text[1:]))}, Batch: 1, Generated: generated}
	if several {
		r.Batch = number(items)
	}
	return r
}

// option reports whether a text is a prefix and a number.
func option(text, prefix string) bool {
	rest, is := strings.CutPrefix(text, prefix)
	_, err := strconv.Atoi(rest)
	return is && err == nil
}

func millis(text string) protocol.Time {
	if text == "never" {
		return protocol.Never
	}
	return protocol.Time(0).Add(time.Duration(number(text)) * time.Millisecond)
}

func times(args []string) int {
	for _, a := range args {
		if option(a, "x") {
			return number(a[1:])
		}
	}
	return 1
}

func list(text string) []string {
	if text == "" || text == "-" {
		return nil
	}
	return strings.Split(text, ",")
}

func duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return d
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		panic(err)
	}
	return n
}
