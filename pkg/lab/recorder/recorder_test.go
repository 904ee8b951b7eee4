package recorder

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/protocol"
)

// disk is a file that can be made to wait, or to fail.
type disk struct {
	bytes.Buffer
	gate  chan struct{}
	fault error
}

func (d *disk) Write(b []byte) (int, error) {
	if d.gate != nil {
		<-d.gate
	}
	if d.fault != nil {
		return 0, d.fault
	}
	return d.Buffer.Write(b)
}

func (d *disk) Close() error { return nil }

// contents counts what a recording holds: cores, steps, missing events.
func contents(t *testing.T, file io.Reader) (cores, steps int, missing uint64, last record.Item) {
	t.Helper()
	r, err := record.NewReader(file)
	for err == nil {
		var item *record.Item
		if item, err = r.Next(); err != nil {
			break
		}
		switch item.Kind {
		case record.Begin:
			cores++
		case record.Step:
			steps++
		case record.Missing:
			missing += item.Events
		case record.Mark:
			last = *item
		}
	}
	if err != io.EOF {
		t.Fatal(err)
	}
	return cores, steps, missing, last
}

// recordedTerm is a term that a Recorder watches.
type recordedTerm struct {
	*sched.Term
	to *Recorder
}

func (c *recordedTerm) Step(now protocol.Time, e sched.TermEvent) *sched.TermOutput {
	out := c.Term.Step(now, e)
	c.to.Step(now, e, out)
	return out
}

func newTerm(t *testing.T, to *Recorder) *recordedTerm {
	t.Helper()
	core, err := sched.New("echo", sched.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	setup := sched.TermSetup{Setup: sched.Setup{Policy: "echo", Config: sched.Defaults()}, Term: sched.TermConfig{Epoch: 3}}
	to.Begin(setup)
	return &recordedTerm{sched.NewTerm(core, setup.Term), to}
}

func recordInto(t *testing.T, file io.WriteCloser) (*Recorder, *recordedTerm) {
	t.Helper()
	r, err := New("", file, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r, newTerm(t, r)
}

func TestRecordingKeepsEveryStepInOrder(t *testing.T) {
	file := &disk{}
	r, term := recordInto(t, file)
	// Both are used again by their driver.
	e, claim := &sched.Submitted{}, &sched.AnswersReported{Answered: make([]uint64, 1)}
	var hash record.Hash
	hash.Add(term.Step(0, &sched.Started{}))
	for i := range uint64(2500) {
		e.ID.Seq, claim.Answered[0] = i, i
		hash.Add(term.Step(protocol.Time(i), e))
		hash.Add(term.Step(protocol.Time(i), claim))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, steps, missing, last := contents(t, bytes.NewReader(file.Bytes()))
	if steps != 5001 || missing != 0 || last.Events != 5001 || last.Hash != hash {
		t.Errorf("%d steps, %d missing, last %+v, want hash %x", steps, missing, last, hash)
	}
	reader, _ := record.NewReader(bytes.NewReader(file.Bytes()))
	_, _ = reader.Next()
	for i := range 5001 {
		item, err := reader.Next()
		if err == nil && item.Kind == record.Mark {
			item, err = reader.Next()
		}
		if err != nil || i > 0 && (numberOf(item.Event.(sched.TermEvent)) != uint64(i-1)/2 || item.Now != protocol.Time(i-1)/2) {
			t.Fatalf("step %d is %+v: %v", i, item, err)
		}
	}
}

// numberOf is the number of the request that an event is about.
func numberOf(e sched.TermEvent) uint64 {
	if s, is := e.(*sched.Submitted); is {
		return s.ID.Seq
	}
	return e.(*sched.AnswersReported).Answered[0]
}

func TestASlowDiskCostsEventsAndNeverTime(t *testing.T) {
	file := &disk{}
	r, term := recordInto(t, file)
	r.mu.Lock() // nothing of the header's writing is under way
	file.gate = make(chan struct{})
	r.mu.Unlock()
	const n = sheetLines * (maxSheets + 100)
	for i := range n {
		term.Step(protocol.Time(i), &sched.Tick{})
	}
	close(file.gate)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_, steps, missing, last := contents(t, file)
	if missing == 0 || steps+int(missing) != n || last.Events != n {
		t.Errorf("%d steps and %d missing of %d, last %+v", steps, missing, n, last)
	}
}

func TestAFullDiskEndsTheRecordingAlone(t *testing.T) {
	file := &disk{}
	r, term := recordInto(t, file)
	r.mu.Lock()
	file.fault = errors.New("no space left")
	r.mu.Unlock()
	for i := range 100_000 {
		term.Step(protocol.Time(i), &sched.Tick{})
	}
	if err := r.Close(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}

func TestEachTermIsACoreOfTheRecording(t *testing.T) {
	file := &disk{}
	r, term := recordInto(t, file)
	term.Step(1, &sched.Tick{})
	newTerm(t, r).Step(2, &sched.Tick{})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if cores, steps, _, last := contents(t, file); cores != 2 || steps != 2 || last.Events != 1 {
		t.Errorf("%d cores, %d steps, last %+v", cores, steps, last)
	}
}

func BenchmarkRecordedStep(b *testing.B) {
	r, err := New("", &disk{}, nil)
	if err != nil {
		b.Fatal(err)
	}
	e := &sched.Submitted{Submitted: protocol.Submitted{Reply: "_INBOX.Cg7pqFzD2vRMXjCmwNc2Xl.Cg7pqFzD",
		Submission: protocol.Submission{Model: "resnet50_v2", Batch: 1, Budget: 99_812_345}}}
	out := sched.TermOutput{Output: sched.Output{Dispatches: []protocol.Dispatch{{Worker: "w1"}}, Wake: 7}}
	b.ReportAllocs()
	for i := range b.N {
		e.ID.Seq++
		r.Step(protocol.Time(i)*1000, e, &out)
	}
	b.StopTimer()
	_ = r.Close()
}
