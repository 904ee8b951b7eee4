// Package recorder records a running scheduler: an observer of its terms that
// writes their events to a file (package record) without ever blocking them.
//
//	to, err := recorder.New(path, file, log)
//	config.Observers = append(config.Observers, to) // of services/scheduler
//	// ... run the service ...
//	err = to.Close()
//
// Begin and Step may be called from any goroutine. The package does not read
// recordings. If the disk is too slow, events are left out; the file then
// contains their number.
package recorder

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/protocol"
)

// Recorder is a sched.TermObserver that writes the events of a process's terms to a
// file. Step only copies the event; a goroutine encodes and writes. If the disk
// does not keep up, events are left out, and the recording contains their
// number. Close ends the goroutine.
type Recorder struct {
	name   string // of the file
	file   io.WriteCloser
	writer *record.Writer
	log    *slog.Logger
	stop   chan struct{}
	done   chan error
	wake   chan struct{} // signals a waiting sheet; capacity 1

	mu      sync.Mutex // guards the fields below
	hash    record.Hash
	sheet   *sheet // being filled
	waiting []*sheet
	spare   []*sheet
	missing uint64
	broken  bool // writing failed; events are dropped
}

// sheet is a batch of events to be written.
type sheet struct {
	lines   []line
	begins  []sched.TermSetup
	submits []sched.Submitted
	results []sched.Result
	reports []sched.AnswersReported
	others  []sched.TermEvent
	// answered is where those of reports are copied to.
	answered []uint64
}

// line refers to the next event in the slice of its kind. For a gap, hash is the
// number of missing events.
type line struct {
	now  protocol.Time
	hash record.Hash
	kind lineKind
}

type lineKind uint8

const (
	lineBegin lineKind = iota
	lineSubmit
	lineResult
	lineReport
	lineTick
	lineHeartbeatDue
	lineOther
	lineGap
)

// These bound the events waiting to be written, and how long the latest events
// may wait.
const (
	sheetLines  = 512
	maxSheets   = 128
	recordEvery = 500 * time.Millisecond
)

// New begins a recording in a new file; the name is for the log. Close closes the file
// too, as does an error.
func New(name string, file io.WriteCloser, log *slog.Logger) (*Recorder, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	writer, err := record.NewWriter(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	r := &Recorder{
		name: name, file: file, writer: writer, log: log, sheet: &sheet{},
		stop: make(chan struct{}), done: make(chan error, 1), wake: make(chan struct{}, 1),
	}
	go r.run()
	return r, nil
}

// Begin implements sched.TermObserver.
func (r *Recorder) Begin(setup sched.TermSetup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gap()
	r.hash = 0
	r.sheet.begins = append(r.sheet.begins, setup)
	r.sheet.lines = append(r.sheet.lines, line{kind: lineBegin})
}

// Step implements sched.TermObserver. It never blocks, and keeps neither the output nor an
// event that its driver uses again.
func (r *Recorder) Step(now protocol.Time, e sched.TermEvent, out *sched.TermOutput) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.hash.Add(out)
	if r.broken || len(r.sheet.lines) >= sheetLines && !r.turn() {
		r.missing++
		return
	}
	r.gap()
	r.sheet.add(now, e, r.hash)
}

// turn starts a new sheet, unless too many are waiting.
func (r *Recorder) turn() bool {
	if len(r.waiting) >= maxSheets {
		return false
	}
	r.waiting = append(r.waiting, r.sheet)
	if n := len(r.spare); n > 0 {
		r.sheet, r.spare = r.spare[n-1], r.spare[:n-1]
	} else {
		r.sheet = &sheet{}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return true
}

// gap records the number of events missing before the next one.
func (r *Recorder) gap() {
	if r.missing > 0 {
		r.sheet.lines = append(r.sheet.lines, line{kind: lineGap, hash: record.Hash(r.missing)})
		r.missing = 0
	}
}

func (s *sheet) add(now protocol.Time, e sched.TermEvent, hash record.Hash) {
	kind := lineOther
	switch e := e.(type) {
	case *sched.Submitted:
		kind = lineSubmit
		s.submits = append(s.submits, *e)
	case *sched.Result:
		kind = lineResult
		s.results = append(s.results, *e)
	case *sched.AnswersReported:
		kind = lineReport
		first := len(s.answered)
		s.answered = append(s.answered, e.Answered...)
		s.reports = append(s.reports, sched.AnswersReported{FrontDoor: e.FrontDoor, Epoch: e.Epoch, Answered: s.answered[first:]})
	case *sched.Tick:
		kind = lineTick
	case *sched.HeartbeatDue:
		kind = lineHeartbeatDue
	default:
		s.others = append(s.others, e)
	}
	s.lines = append(s.lines, line{now, hash, kind})
}

func (s *sheet) clear() {
	clear(s.submits)
	clear(s.results)
	clear(s.others)
	clear(s.begins)
	clear(s.reports)
	s.begins, s.reports, s.answered = s.begins[:0], s.reports[:0], s.answered[:0]
	s.lines, s.submits, s.results, s.others = s.lines[:0], s.submits[:0], s.results[:0], s.others[:0]
}

// run writes sheets until Close.
func (r *Recorder) run() {
	every := time.NewTicker(recordEvery)
	defer every.Stop()
	for {
		select {
		case <-r.wake:
			r.drain(false)
		case <-every.C:
			r.drain(true)
		case <-r.stop:
			r.drain(true)
			r.done <- errors.Join(r.writer.Close(), r.file.Close())
			return
		}
	}
}

// drain writes the waiting sheets and, if all, also the one being filled.
func (r *Recorder) drain(all bool) {
	for {
		s := r.take(all)
		if s == nil {
			break
		}
		err := r.write(s)
		s.clear()
		r.mu.Lock()
		r.spare = append(r.spare, s)
		lost := err != nil && !r.broken
		r.broken = err != nil
		r.mu.Unlock()
		if lost {
			r.log.Warn("recording ended early", "file", r.name, "error", err)
		}
	}
	if all {
		_ = r.writer.Flush() // the error returns with the next sheet
	}
}

// take returns the next sheet to write, nil for none.
func (r *Recorder) take(all bool) *sheet {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) == 0 && (!all || len(r.sheet.lines) == 0 || !r.turn()) {
		return nil
	}
	s := r.waiting[0]
	copy(r.waiting, r.waiting[1:])
	r.waiting = r.waiting[:len(r.waiting)-1]
	return s
}

func (r *Recorder) write(s *sheet) error {
	begins, submits, results, reports, others := s.begins, s.submits, s.results, s.reports, s.others
	var err error
	for _, l := range s.lines {
		switch l.kind {
		case lineBegin:
			err = r.writer.BeginTerm(begins[0].Policy, policies.Config{Config: begins[0].Config}, begins[0].Term)
			begins = begins[1:]
		case lineSubmit:
			err = r.writer.StepHashed(l.now, &submits[0], l.hash)
			submits = submits[1:]
		case lineResult:
			err = r.writer.StepHashed(l.now, &results[0], l.hash)
			results = results[1:]
		case lineReport:
			err = r.writer.StepHashed(l.now, &reports[0], l.hash)
			reports = reports[1:]
		case lineTick:
			err = r.writer.StepHashed(l.now, &sched.Tick{}, l.hash)
		case lineHeartbeatDue:
			err = r.writer.StepHashed(l.now, &sched.HeartbeatDue{}, l.hash)
		case lineOther:
			err = r.writer.StepHashed(l.now, others[0], l.hash)
			others = others[1:]
		case lineGap:
			err = r.writer.Missing(uint64(l.hash))
		}
	}
	return err
}

// Close writes the remaining events and ends the goroutine.
func (r *Recorder) Close() error {
	r.mu.Lock()
	r.gap()
	r.mu.Unlock()
	close(r.stop)
	if err := <-r.done; err != nil {
		return fmt.Errorf("end recording: %w", err)
	}
	return nil
}
