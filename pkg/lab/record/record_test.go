package record

import (
	"bytes"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/protocol"
)

// A step is what one Item of kind Step holds, copied.
type step struct {
	now   protocol.Time
	event sched.TermEvent
}

// someTerm is what the terms of these tests are made with.
var someTerm = sched.TermConfig{Epoch: 7, Issuer: math.MaxUint64, Question: 9, Subjects: protocol.Subjects{Prefix: "clockwork", Roles: true}}

func someSteps(seed uint64, n int) []step {
	dice := rand.New(rand.NewPCG(seed, 7))
	wild := func() int64 { return int64(dice.Uint64()) >> dice.IntN(64) }
	word := func() string { return strings.Repeat("x", dice.IntN(300)) + string(rune('a'+dice.IntN(20))) }
	var steps []step
	for range n {
		var e sched.TermEvent
		switch dice.IntN(60) {
		default:
			e = &sched.Submitted{Epoch: uint64(dice.IntN(3)), Submitted: protocol.Submitted{Submission: protocol.Submission{
				ID: protocol.RequestID{Door: uint64(dice.IntN(4)), Seq: uint64(wild())}, Model: word(),
				Batch: int(wild()), Bytes: wild(), Budget: time.Duration(wild()), Elapsed: time.Duration(wild()),
				Priority: int(wild()), Generated: dice.IntN(2) == 0, Crashes: uint8(max(0, dice.IntN(12)-9)),
			}, JSON: dice.IntN(2) == 0, Reply: strings.Repeat("_INBOX.\xff", dice.IntN(50)) + word()}}
		case 1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20:
			r := protocol.Result{
				Action: protocol.ActionID(wild()), Issuer: uint64(dice.IntN(3)), Epoch: uint64(dice.IntN(3)), Worker: word(),
				Kind: protocol.Kind(dice.IntN(7)), Code: protocol.OK, GPU: int(wild()), Model: word(), Batch: int(wild()),
				Received: protocol.Time(wild()), Begin: protocol.Time(wild()), End: protocol.Time(wild()), Sent: protocol.Time(wild()),
			}
			if dice.IntN(2) == 0 {
				r.Code, r.Message = protocol.TooLate, word()
				r.Exec = protocol.Phase{Begin: protocol.Time(wild()), End: protocol.Time(wild()), Device: time.Duration(wild())}
				r.Output.Device = 1
			}
			e = &sched.Result{Result: r}
		case 4, 21, 22:
			e = &sched.Tick{}
		case 23, 24:
			e = &sched.HeartbeatDue{}
		case 26, 27, 28:
			report := &sched.AnswersReported{FrontDoor: uint64(dice.IntN(4)), Epoch: uint64(wild())}
			for range dice.IntN(4) {
				report.Answered = append(report.Answered, uint64(wild()))
			}
			e = report
		case 5:
			e = &sched.FrontDoorBeat{Heartbeat: protocol.Heartbeat{ID: word()}, Missed: uint64(wild())}
		case 6:
			e = &sched.NoResponders{FrontDoor: uint64(wild()), Question: uint64(wild()), Missed: uint64(wild())}
		case 25:
			e = &sched.WorkerBeat{Heartbeat: protocol.Heartbeat{ID: word(), Epoch: uint64(wild()), GPUs: []protocol.GPUBeat{{Stalled: dice.IntN(2) == 0, Executor: dice.Uint32()}}}}
		case 29:
			e = &sched.FrontDoorBeat{Heartbeat: protocol.Heartbeat{ID: "\xff\xfe" + word(), InFlight: int(wild())}}
		case 30:
			e = &sched.SchedulerBeat{Heartbeat: protocol.Heartbeat{ID: word(), Quarantined: []protocol.QuarantinedModel{{Name: word(), Left: 5}}}}
		case 7:
			e = &sched.WorkerAnnounced{State: protocol.WorkerState{ID: word(), GPUs: []protocol.GPUState{{Type: word(), PagesTotal: 4, Models: []string{"m"}}}}}
		case 8:
			e = &sched.WorkerAnswered{WorkerQuestion: sched.WorkerQuestion{ID: word(), Number: uint64(wild()), Lean: true}, Obeys: 4, State: &protocol.WorkerState{ID: word()}}
		case 31:
			e = &sched.Result{Result: protocol.Result{Kind: protocol.GetWorkerState, State: &protocol.WorkerState{ID: word()}}}
		}
		steps = append(steps, step{protocol.Time(wild()), e})
	}
	return steps
}

func written(t testing.TB, steps []step) []byte {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file)
	must(t, err)
	must(t, w.Begin("clockwork", policies.Defaults(), someTerm))
	for _, s := range steps {
		must(t, w.Step(s.now, s.event, woken(s.now)))
	}
	must(t, w.Close())
	if w.Bytes() != int64(file.Len()) {
		t.Errorf("says it wrote %d bytes of %d", w.Bytes(), file.Len())
	}
	return file.Bytes()
}

// woken is an output that says when to wake the term.
func woken(at protocol.Time) *sched.TermOutput {
	return &sched.TermOutput{Output: sched.Output{Wake: at}}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// read returns the steps of a file, its last mark, and why it ended.
func read(file []byte) (steps []step, marked Item, err error) {
	r, err := NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, marked, err
	}
	for {
		item, err := r.Next()
		if err != nil {
			return steps, marked, err
		}
		switch item.Kind {
		case Step:
			steps = append(steps, step{item.Now, clone(item.Event)})
		case Mark:
			marked = *item
		}
	}
}

func clone(e sched.TermEvent) sched.TermEvent {
	switch e := e.(type) {
	case *sched.Submitted:
		c := *e
		return &c
	case *sched.Result:
		c := *e
		return &c
	}
	return e
}

func TestEveryEventComesBackAsItWas(t *testing.T) {
	for seed := range uint64(20) {
		steps := someSteps(seed, 1000)
		got, marked, err := read(written(t, steps))
		if err != io.EOF {
			t.Fatal(err)
		}
		if len(got) != len(steps) {
			t.Fatalf("%d of %d steps came back", len(got), len(steps))
		}
		var h Hash
		for i := range steps {
			h.Add(woken(steps[i].now))
			if !reflect.DeepEqual(got[i], steps[i]) {
				t.Fatalf("step %d:\ngot  %+v\nwant %+v", i, got[i].event, steps[i].event)
			}
		}
		if marked.Events != uint64(len(steps)) || marked.Hash != h {
			t.Errorf("the last mark is %d events, hash %x; want %d, %x", marked.Events, marked.Hash, len(steps), h)
		}
	}
}

func TestAStartComesBackAsItWas(t *testing.T) {
	e := &sched.Started{State: protocol.ClockworkState{
		PageSize: 16 << 20, Models: []protocol.ModelSpec{{Name: "m", BatchSizes: []int{1, 2}, WeightsBytes: math.MaxInt64}},
		Profiles: []protocol.Profile{{Digest: "d", Infer: []protocol.BatchMeasurement{{Batch: 1, Measurement: protocol.Measurement{Samples: 3, P99: 12345678901}}}}},
	}}
	got, _, err := read(written(t, []step{{5, e}}))
	if err != io.EOF || len(got) != 1 || !reflect.DeepEqual(got[0].event, sched.TermEvent(e)) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What a term was made with is in a form that later versions read as well.
func TestABeginKeepsItsForm(t *testing.T) {
	config := policies.Defaults()
	config.MaxBatch, config.Without = 4, []string{"edf", "yield"}
	var file bytes.Buffer
	w, err := NewWriter(&file)
	must(t, err)
	must(t, w.Begin("deferred", config, someTerm))
	must(t, w.Close())
	for _, form := range []string{`{"Policy":"deferred","Config":{"Outstanding":3,`, `"MaxBatch":4,"MaxExec":25000000,"Without":["edf","yield"]},"Term":{"Epoch":7,`} {
		if !strings.Contains(file.String(), form) {
			t.Errorf("%q has no %s", file.String(), form)
		}
	}
	r, err := NewReader(&file)
	must(t, err)
	item, err := r.Next()
	must(t, err)
	if item.Kind != Begin || item.Policy != "deferred" || !reflect.DeepEqual(item.Config, config) || item.Term != someTerm {
		t.Errorf("%+v, expected %+v", item, config)
	}
}

func TestARecordingCutOffAnywhereIsReadUpToThere(t *testing.T) {
	steps := someSteps(1, 600)
	file := written(t, steps)
	last, whole := 0, int64(len(header))
	for cut := len(header); cut < len(file); cut += 397 {
		got, _, err := read(file[:cut])
		if !errors.Is(err, ErrCut) {
			t.Fatalf("cut at %d of %d: %v", cut, len(file), err)
		}
		if n := wholeOf(file[:cut]); n < whole || n > int64(cut) || n == whole && len(got) > last {
			t.Fatalf("cut at %d: %d whole bytes, there were %d before", cut, n, whole)
		} else {
			whole = n
		}
		if len(got) < last || len(got) > len(steps) {
			t.Fatalf("cut at %d: %d steps, there were %d before", cut, len(got), last)
		}
		last = len(got)
	}
	if last == 0 {
		t.Error("no block before the last was read")
	}
}

// wholeOf is how much of a file says that it is whole.
func wholeOf(file []byte) int64 {
	r, err := NewReader(bytes.NewReader(file))
	for err == nil {
		_, err = r.Next()
	}
	return r.Whole()
}

func TestAFlushedRecordingIsWholeUpToTheFlush(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file)
	must(t, err)
	must(t, w.Begin("simple", policies.Defaults(), someTerm))
	must(t, w.Step(1, &sched.Tick{}, woken(0)))
	must(t, w.Flush())
	must(t, w.Step(2, &sched.Tick{}, woken(0)))
	got, marked, err := read(file.Bytes())
	if !errors.Is(err, ErrCut) || len(got) != 1 || marked.Events != 1 {
		t.Errorf("got %d steps, mark %+v, %v", len(got), marked, err)
	}
}

func TestEveryFlippedBitIsNoticed(t *testing.T) {
	file := written(t, someSteps(2, 50))
	dice := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		bad := bytes.Clone(file)
		bit := len(header)*8 + dice.IntN((len(file)-len(header))*8)
		bad[bit/8] ^= 1 << (bit % 8)
		if _, _, err := read(bad); err == io.EOF {
			t.Fatalf("bit %d was not noticed", bit)
		}
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	for name, file := range map[string]string{
		"empty": "", "text": "hello, this is some other file entirely", "short": "clock",
		"an earlier version": "clockwork-recording 1\nxyz",
	} {
		if _, err := NewReader(strings.NewReader(file)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for name, body := range map[string]string{
		"huge block": "\xff\xff\xff\xff\x7f", "endless number": strings.Repeat("\xff", 20), "empty block": "\x00\x00\x00\x00\x00",
	} {
		if _, _, err := read([]byte(header + body)); err == nil || errors.Is(err, io.EOF) || errors.Is(err, ErrCut) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAClaimedLengthTakesNoMemory(t *testing.T) {
	file := []byte(header + "\x80\x80\x80\x1f") // 64 MiB less some, and nothing behind
	allocated := testing.AllocsPerRun(1, func() {
		if _, _, err := read(file); !errors.Is(err, ErrCut) {
			t.Error(err)
		}
	})
	if allocated > 100 {
		t.Errorf("%v allocations", allocated)
	}
}

func TestNamesBeyondTheTableAreStillWritten(t *testing.T) {
	var steps []step
	for i := range maxNames + 100 {
		id := protocol.RequestID{Door: uint64(i), Seq: uint64(i)}
		steps = append(steps, step{protocol.Time(i), &sched.Submitted{Submitted: protocol.Submitted{Submission: protocol.Submission{ID: id, Model: "m" + id.String(), Batch: 1}}}})
	}
	steps = append(steps, steps...)
	got, _, err := read(written(t, steps))
	if err != io.EOF || !reflect.DeepEqual(got, steps) {
		t.Errorf("%d of %d steps came back: %v", len(got), len(steps), err)
	}
}

func TestMissingEventsAreSaid(t *testing.T) {
	var file bytes.Buffer
	w, err := NewWriter(&file)
	must(t, err)
	must(t, w.Begin("simple", policies.Defaults(), someTerm))
	must(t, w.StepHashed(1, &sched.Tick{}, 11))
	must(t, w.Missing(5))
	must(t, w.StepHashed(9, &sched.Tick{}, 17))
	must(t, w.Close())
	r, err := NewReader(&file)
	must(t, err)
	var kinds []Kind
	var last Item
	for {
		item, err := r.Next()
		if err == io.EOF {
			break
		}
		must(t, err)
		kinds, last = append(kinds, item.Kind), *item
	}
	if !reflect.DeepEqual(kinds, []Kind{Begin, Step, Missing, Step, Mark}) || last.Events != 7 || last.Hash != 17 {
		t.Errorf("got %v, the last %+v", kinds, last)
	}
}

// unhashed are fields of an output that a scheduler never sets.
var unhashed = []string{
	".Action.Leader", ".Action.Load", ".Action.Lean", ".Action.Models", ".Refusal.LimitOf", ".Refusal.RetryMS", ".Refusal.Stage", ".Refusal.BufferedMS", ".Refusal.Workers",
}

func TestTheHashSeesEveryField(t *testing.T) {
	var out sched.TermOutput
	filled := reflect.ValueOf(&out).Elem()
	fill(filled)
	seen := map[Hash]string{}
	of := func(name string) {
		var h Hash
		h.Add(&out)
		if before, is := seen[h]; is && !slices.ContainsFunc(unhashed, func(part string) bool { return strings.Contains(name, part) }) {
			t.Errorf("a change of %s hashes as that of %s", name, before)
		}
		seen[h] = name
	}
	of("nothing")
	eachLeaf(filled, "", of)
	if len(seen) < 100 {
		t.Errorf("only %d fields were changed", len(seen))
	}
}

// fill gives every list one element, and every pointer something to point to.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	}
}

// eachLeaf changes one number, text or truth after the other, and calls do with its name.
func eachLeaf(v reflect.Value, name string, do func(name string)) {
	before := reflect.ValueOf(v.Interface())
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			eachLeaf(v.Field(i), name+"."+v.Type().Field(i).Name, do)
		}
		return
	case reflect.Slice:
		eachLeaf(v.Index(0), name, do)
		return
	case reflect.Pointer:
		eachLeaf(v.Elem(), name, do)
		return
	case reflect.Bool:
		v.SetBool(true)
	case reflect.String:
		v.SetString("x")
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	default:
		v.SetUint(1)
	}
	do(name)
	v.Set(before)
}

// Every event of a term can be written: one that is added is found here.
func TestEveryEventOfATermIsKnown(t *testing.T) {
	parsed, err := parser.ParseFile(token.NewFileSet(), "../../core/sched/term_event.go", nil, 0)
	must(t, err)
	found := 0
	for _, d := range parsed.Decls {
		f, is := d.(*ast.FuncDecl)
		if !is || f.Name.Name != "termEvent" {
			continue
		}
		found++
		name := f.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
		known := slices.ContainsFunc(rare, func(r reflect.Type) bool { return r.Name() == name })
		if !known && !slices.Contains([]string{"Submitted", "AnswersReported", "Tick", "HeartbeatDue"}, name) {
			t.Errorf("%s is in no recording", name)
		}
	}
	if found != 13 {
		t.Errorf("%d events were found", found)
	}
}

func FuzzReader(f *testing.F) {
	for seed := range uint64(4) {
		f.Add(written(f, someSteps(seed, 30)))
	}
	f.Add([]byte(header))
	f.Add([]byte(header + "\x80\x80\x80\x1f"))
	f.Fuzz(func(t *testing.T, file []byte) {
		_, _, err := read(file)
		if err == nil {
			t.Error("a recording without an end")
		}
	})
}

// FuzzBlock gets past the checksum.
func FuzzBlock(f *testing.F) {
	f.Add([]byte{recMark, 1, 0, 0, 0, 0, 0, 0, 0, 0, recTick, 2, recEnd})
	f.Add([]byte{recSubmitted, hasBatch | hasReply, 2, listed, 1, 1, listed, 1, 'm', 2, 2, 4, 0, 1, 'r', recAnswers, 0, known, 1, 2, 2, 2})
	f.Add([]byte{recResult | hasIssue | hasFault | hasPhases, 2, listed, 1, 'w', 1, 1, 1, 4, 2, listed, 1, 'm', 0, 2, listed, 2, 'O', 'K', 0, 2, 2, 2, 2, 2, 2, 2, 2})
	f.Add([]byte{recRare | isPacked, 1, 0, 3, 0xca, 0, 0, recHeartbeatDue, 0, recMissing, 3, recRare | isRunes, 6, 2, 2, '{', '}', recBegin, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, body []byte) {
		var file bytes.Buffer
		w, err := NewWriter(&file)
		must(t, err)
		must(t, w.Begin("simple", policies.Defaults(), someTerm))
		must(t, w.Flush())
		if len(body) == 0 {
			return
		}
		w.buf = append(w.buf, body...)
		w.block()
		steps, _, err := read(file.Bytes())
		if err == nil || len(steps) > len(body) {
			t.Errorf("%d steps of %d bytes: %v", len(steps), len(body), err)
		}
	})
}

func BenchmarkSubmit(b *testing.B) {
	w, err := NewWriter(io.Discard)
	must(b, err)
	must(b, w.Begin("simple", policies.Defaults(), someTerm))
	e := &sched.Submitted{Submitted: protocol.Submitted{Reply: "_INBOX.Cg7pqFzD2vRMXjCmwNc2Xl.Cg7pqFzD",
		Submission: protocol.Submission{Model: "resnet50_v2-7", Batch: 1, Budget: 99_812_345, Elapsed: 187_655}}}
	b.ReportAllocs()
	for i := range b.N {
		e.ID.Seq++
		if err := w.StepHashed(protocol.Time(i)*1000, e, 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(w.Bytes())/float64(b.N), "B/event")
}
