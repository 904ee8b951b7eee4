package record

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
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
	event sched.Event
}

func someSteps(seed uint64, n int) []step {
	dice := rand.New(rand.NewPCG(seed, 7))
	wild := func() int64 { return int64(dice.Uint64()) >> dice.IntN(64) }
	word := func() string { return strings.Repeat("x", dice.IntN(300)) + string(rune('a'+dice.IntN(20))) }
	var steps []step
	for range n {
		var e sched.Event
		switch dice.IntN(60) {
		default:
			e = &sched.Submit{Submission: protocol.Submission{
				ID: protocol.RequestID{Door: uint64(dice.IntN(4)), Seq: uint64(wild())}, Model: word(),
				Batch: int(wild()), Bytes: wild(), Budget: time.Duration(wild()), Elapsed: time.Duration(wild()),
				Priority: int(wild()), Generated: dice.IntN(2) == 0, Crashes: uint8(max(0, dice.IntN(12)-9)),
			}}
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
		case 4, 21, 22, 23, 24:
			e = &sched.Tick{}
		case 5:
			e = &sched.WorkerLost{ID: word(), Incarnation: uint64(wild())}
		case 6:
			e = &sched.DoorLost{Door: uint64(wild())}
		case 25:
			e = &sched.GPUHealth{ID: word(), Incarnation: uint64(wild()), GPUs: []protocol.GPUBeat{{Stalled: dice.IntN(2) == 0, Executor: dice.Uint32()}}}
		case 7:
			e = &sched.WorkerJoined{State: protocol.WorkerState{ID: word(), GPUs: []protocol.GPUState{{Type: word(), PagesTotal: 4, Models: []string{"m"}}}}}
		case 8:
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
	must(t, w.Begin("clockwork", policies.Defaults()))
	for _, s := range steps {
		must(t, w.Step(s.now, s.event, sched.Output{Wake: s.now}))
	}
	must(t, w.Close())
	if w.Bytes() != int64(file.Len()) {
		t.Errorf("says it wrote %d bytes of %d", w.Bytes(), file.Len())
	}
	return file.Bytes()
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

func clone(e sched.Event) sched.Event {
	switch e := e.(type) {
	case *sched.Submit:
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
			h.Add(&sched.Output{Wake: steps[i].now})
			if !reflect.DeepEqual(got[i], steps[i]) {
				t.Fatalf("step %d:\ngot  %+v\nwant %+v", i, got[i].event, steps[i].event)
			}
		}
		if marked.Events != uint64(len(steps)) || marked.Hash != h {
			t.Errorf("the last mark is %d events, hash %x; want %d, %x", marked.Events, marked.Hash, len(steps), h)
		}
	}
}

func TestAnActivationComesBackAsItWas(t *testing.T) {
	e := &sched.Activate{Epoch: math.MaxUint64, Issuer: 7, State: protocol.ClockworkState{
		PageSize: 16 << 20, Models: []protocol.ModelSpec{{Name: "m", BatchSizes: []int{1, 2}, WeightsBytes: math.MaxInt64}},
		Profiles: []protocol.Profile{{Digest: "d", Infer: []protocol.BatchMeasurement{{Batch: 1, Measurement: protocol.Measurement{Samples: 3, P99: 12345678901}}}}},
	}}
	got, _, err := read(written(t, []step{{5, e}}))
	if err != io.EOF || len(got) != 1 || !reflect.DeepEqual(got[0].event, sched.Event(e)) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What a core was made with is in a form that older recordings have as well.
func TestABeginKeepsItsForm(t *testing.T) {
	config := policies.Defaults()
	config.MaxBatch, config.Without = 4, []string{"edf", "yield"}
	var file bytes.Buffer
	w, err := NewWriter(&file)
	must(t, err)
	must(t, w.Begin("deferred", config))
	must(t, w.Close())
	for _, form := range []string{`{"Policy":"deferred","Config":{"Outstanding":3,`, `"MaxBatch":4,"MaxExec":25000000,"Without":["edf","yield"]}}`} {
		if !strings.Contains(file.String(), form) {
			t.Errorf("%q has no %s", file.String(), form)
		}
	}
	r, err := NewReader(&file)
	must(t, err)
	item, err := r.Next()
	must(t, err)
	if item.Kind != Begin || item.Policy != "deferred" || !reflect.DeepEqual(item.Config, config) {
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
	must(t, w.Begin("simple", policies.Defaults()))
	must(t, w.Step(1, &sched.Tick{}, sched.Output{}))
	must(t, w.Flush())
	must(t, w.Step(2, &sched.Tick{}, sched.Output{}))
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
		"a later version": "clockwork-recording 2\nxyz",
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
		steps = append(steps, step{protocol.Time(i), &sched.Submit{Submission: protocol.Submission{ID: id, Model: "m" + id.String(), Batch: 1}}})
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
	must(t, w.Begin("simple", policies.Defaults()))
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

func TestTheHashSeesEveryField(t *testing.T) {
	base := func() sched.Output {
		return sched.Output{
			Wake: 5,
			Actions: []sched.Addressed{{Worker: "w", Action: protocol.Action{
				ID: 1, Issuer: 2, Epoch: 3, Incarnation: 4, Kind: protocol.Infer, Earliest: 5, Latest: 6, Expected: 7, GPU: 1, Model: "m", Batch: 2,
				Requests: []protocol.RequestRef{{ID: protocol.RequestID{Door: 1, Seq: 2}, Batch: 1}},
			}}},
			Dispatches: []protocol.Dispatch{{ID: protocol.RequestID{Door: 1, Seq: 2}, Kind: protocol.ToWorker, Worker: "w"}},
			Refusals:   []protocol.Dispatch{{ID: protocol.RequestID{Door: 1, Seq: 3}, Kind: protocol.Refuse, Refusal: protocol.Refusal(protocol.Overloaded)}},
		}
	}
	of := func(o sched.Output) (h Hash) { h.Add(&o); return h }
	seen := map[Hash]int{of(base()): -1}
	for i, change := range []func(*sched.Output){
		func(o *sched.Output) { o.Wake = 6 },
		func(o *sched.Output) { o.Actions = nil },
		func(o *sched.Output) { o.Actions[0].Worker = "v" },
		func(o *sched.Output) { o.Actions[0].Action.ID++ },
		func(o *sched.Output) { o.Actions[0].Action.Issuer++ },
		func(o *sched.Output) { o.Actions[0].Action.Epoch++ },
		func(o *sched.Output) { o.Actions[0].Action.Incarnation++ },
		func(o *sched.Output) { o.Actions[0].Action.Kind++ },
		func(o *sched.Output) { o.Actions[0].Action.Earliest++ },
		func(o *sched.Output) { o.Actions[0].Action.Latest++ },
		func(o *sched.Output) { o.Actions[0].Action.Expected++ },
		func(o *sched.Output) { o.Actions[0].Action.GPU++ },
		func(o *sched.Output) { o.Actions[0].Action.Model = "n" },
		func(o *sched.Output) { o.Actions[0].Action.Batch++ },
		func(o *sched.Output) { o.Actions[0].Action.Requests[0].ID.Seq++ },
		func(o *sched.Output) { o.Actions[0].Action.Requests[0].Generated = true },
		func(o *sched.Output) { o.Dispatches[0].Cold = true },
		func(o *sched.Output) { o.Dispatches[0].Worker = "v" },
		func(o *sched.Output) { o.Dispatches, o.Refusals = o.Refusals, o.Dispatches },
		func(o *sched.Output) { o.Refusals[0].Refusal.Code = protocol.Internal },
		func(o *sched.Output) { o.Refusals[0].Refusal.Message += "." },
		func(o *sched.Output) { o.Refusals[0].Refusal.EarliestMS = 1 },
		func(o *sched.Output) { o.Refusals[0].Refusal.Limit = 1 },
	} {
		o := base()
		change(&o)
		if before, ok := seen[of(o)]; ok {
			t.Errorf("change %d hashes as %d", i, before)
		}
		seen[of(o)] = i
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
	f.Add([]byte{recSubmit | hasBatch, 2, listed, 1, 1, listed, 1, 'm', 2, 2, 4, recLost, 0, known, 1})
	f.Add([]byte{recResult | hasIssue | hasFault | hasPhases, 2, listed, 1, 'w', 1, 1, 1, 4, 2, listed, 1, 'm', 0, 2, listed, 2, 'O', 'K', 0, 2, 2, 2, 2, 2, 2, 2, 2})
	f.Add([]byte{recRare, rareJoined, 0, 3, 0xca, 0, 0, recDoor, 0, 1, recMissing, 3, recBegin, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, body []byte) {
		var file bytes.Buffer
		w, err := NewWriter(&file)
		must(t, err)
		must(t, w.Begin("simple", policies.Defaults()))
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
	must(b, w.Begin("simple", policies.Defaults()))
	e := &sched.Submit{Submission: protocol.Submission{Model: "resnet50_v2-7", Batch: 1, Budget: 99_812_345, Elapsed: 187_655}}
	b.ReportAllocs()
	for i := range b.N {
		e.ID.Seq++
		if err := w.StepHashed(protocol.Time(i)*1000, e, 1); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(w.Bytes())/float64(b.N), "B/event")
}
