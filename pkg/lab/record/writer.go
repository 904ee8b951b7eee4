package record

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"reflect"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/protocol"
)

// Writer writes a recording. After an error it writes nothing more, and every
// method returns that error.
type Writer struct {
	to  io.Writer
	buf []byte // records of the open block
	// machines are those that began; the records that follow are of the selected one, counted
	// from 1.
	machines []recorded
	selected int
	err      error
	bytes    int64
	names    map[string]uint64
	places   map[uint64]int // index in history.doors, by door
	packer   *flate.Writer  // nil until the first event that is compressed
	history
}

// recorded is a machine whose steps are written: how many, and the hash of its outputs. marked is
// how many stand before its last mark.
type recorded struct {
	core           *Core
	events, marked uint64
	hash           Hash
}

// NewWriter writes the header.
func NewWriter(to io.Writer) (*Writer, error) {
	w := &Writer{to: to, names: map[string]uint64{}, places: map[uint64]int{}, history: history{issues: map[string]issue{}}}
	w.write([]byte(header))
	return w, w.err
}

// Begin records a new machine of a core, and selects it: the events that follow belong to it.
func (w *Writer) Begin(core string, config any) error {
	if w.err != nil {
		return w.err
	}
	w.mark()
	of := CoreNamed(core)
	if of == nil {
		return fmt.Errorf("record begin: there is no core %q", core)
	}
	written, err := json.Marshal(config)
	if err == nil {
		written, err = json.Marshal(begin{core, written})
	}
	if err != nil {
		return fmt.Errorf("record begin: %w", err)
	}
	w.buf = append(w.buf, recBegin)
	w.text(string(written))
	w.machines = append(w.machines, recorded{core: of})
	w.selected = len(w.machines)
	return w.full()
}

// BeginTerm is Begin for a scheduler's core.
func (w *Writer) BeginTerm(policy string, config policies.Config, term sched.TermConfig) error {
	return w.Begin(Scheduler, Setup{policy, config, term})
}

// Selected returns the number of the machine that the next event belongs to.
func (w *Writer) Selected() int { return w.selected }

// Select has the next events belong to another machine that began.
func (w *Writer) Select(machine int) {
	if machine == w.selected {
		return
	}
	w.mark()
	w.selected = machine
	w.buf = append(w.buf, recMachine)
	w.uint(uint64(machine))
}

func (w *Writer) machine() *recorded { return &w.machines[w.selected-1] }

// Step records an event of the selected machine and adds its output to the hash.
func (w *Writer) Step(now protocol.Time, e, out any) error {
	if w.err != nil {
		return w.err
	}
	h := w.machine().hash
	if err := h.AddOutput(out); err != nil {
		w.err = fmt.Errorf("record %T: %w", out, err)
	}
	return w.StepHashed(now, e, h)
}

// StepHashed is Step for a driver that computes the hash: h covers all outputs
// of this machine, including this event's.
func (w *Writer) StepHashed(now protocol.Time, e any, h Hash) error {
	if w.err != nil {
		return w.err
	}
	switch e := e.(type) {
	case *sched.Submitted:
		w.submitted(now, e)
	case *sched.Result:
		if e.State != nil || len(e.Loaded) > 0 || len(e.Profiles) > 0 {
			w.event(now, e)
		} else {
			w.result(now, &e.Result)
		}
	case *sched.AnswersReported:
		w.answersReported(now, e)
	case *sched.Tick:
		w.buf = append(w.buf, recTick)
		w.at(now)
	case *sched.HeartbeatDue:
		w.buf = append(w.buf, recHeartbeatDue)
		w.at(now)
	default:
		w.event(now, e)
	}
	m := w.machine()
	m.events, m.hash = m.events+1, h
	return w.full()
}

// Missing records that n events of the selected machine were lost here. The hash includes
// their outputs.
func (w *Writer) Missing(n uint64) error {
	w.buf = append(w.buf, recMissing)
	w.uint(n)
	w.machine().events += n
	return w.full()
}

// Flush writes the buffered records.
func (w *Writer) Flush() error {
	if len(w.buf) == 0 || w.err != nil {
		return w.err
	}
	w.mark()
	w.block()
	return w.err
}

// Close writes the buffered records and the end record. The underlying writer
// stays open.
func (w *Writer) Close() error {
	w.mark()
	w.buf = append(w.buf, recEnd)
	w.block()
	return w.err
}

// Bytes returns how many bytes were written.
func (w *Writer) Bytes() int64 { return w.bytes }

func (w *Writer) full() error {
	if len(w.buf) < blockTarget {
		return w.err
	}
	return w.Flush()
}

// mark writes how far the selected machine has come, unless it was written.
func (w *Writer) mark() {
	if w.selected == 0 {
		return
	}
	if m := w.machine(); m.events > m.marked {
		m.marked = m.events
		w.buf = append(w.buf, recMark)
		w.uint(m.events)
		w.buf = binary.LittleEndian.AppendUint64(w.buf, uint64(m.hash))
	}
}

func (w *Writer) block() {
	if len(w.buf) > maxBlock && w.err == nil {
		w.err = fmt.Errorf("record block of %d bytes: at most %d", len(w.buf), maxBlock)
	}
	frame := binary.AppendUvarint(nil, uint64(len(w.buf)))
	w.write(frame)
	sum := crc32.Checksum(w.buf, castagnoli)
	w.write(binary.LittleEndian.AppendUint32(w.buf, sum))
	w.buf = w.buf[:0]
}

func (w *Writer) write(b []byte) {
	if w.err != nil {
		return
	}
	n, err := w.to.Write(b)
	w.bytes += int64(n)
	if err != nil {
		w.err = fmt.Errorf("write recording: %w", err)
	}
}

func (w *Writer) submitted(now protocol.Time, s *sched.Submitted) {
	flags := w.flagsOf(s)
	w.buf = append(w.buf, recSubmitted, flags)
	w.at(now)
	w.request(s.ID)
	w.name(s.Model)
	w.int(int64(s.Budget))
	w.int(int64(s.Elapsed))
	if flags&hasPriority != 0 {
		w.int(int64(s.Priority))
	}
	if flags&hasBatch != 0 {
		w.int(int64(s.Batch))
	}
	if flags&hasBytes != 0 {
		w.int(s.Bytes)
	}
	if flags&hasCrashes != 0 {
		w.buf = append(w.buf, s.Crashes)
	}
	if flags&hasReply != 0 {
		w.replyTo(s.Reply)
	}
	if flags&hasEpoch != 0 {
		w.epoch = s.Epoch
		w.uint(s.Epoch)
	}
}

// flagsOf returns the flags of a submission.
func (w *Writer) flagsOf(s *sched.Submitted) (flags byte) {
	for _, f := range []struct {
		flag byte
		is   bool
	}{
		{isGenerated, s.Generated}, {isJSON, s.JSON}, {hasPriority, s.Priority != 0}, {hasBatch, s.Batch != 1},
		{hasBytes, s.Bytes != 0}, {hasCrashes, s.Crashes != 0}, {hasReply, s.Reply != ""}, {hasEpoch, s.Epoch != w.epoch},
	} {
		if f.is {
			flags |= f.flag
		}
	}
	return flags
}

// replyTo writes a reply subject as how much of it the last one had, and the rest: a client's
// differ in their ends.
func (w *Writer) replyTo(reply string) {
	same := 0
	for same < min(len(reply), len(w.reply), maxName) && reply[same] == w.reply[same] {
		same++
	}
	w.uint(uint64(same))
	w.text(reply[same:])
	w.reply = reply
}

// answersReported writes each number as the difference to the one before, of the same front door.
func (w *Writer) answersReported(now protocol.Time, a *sched.AnswersReported) {
	w.buf = append(w.buf, recAnswers)
	w.at(now)
	last := w.frontDoor(a.FrontDoor)
	w.uint(a.Epoch)
	w.uint(uint64(len(a.Answered)))
	for _, seq := range a.Answered {
		w.int(int64(seq - last.claimed))
		last.claimed = seq
	}
}

func (w *Writer) result(now protocol.Time, r *protocol.Result) {
	meant := issue{r.Issuer, r.Epoch, r.Incarnation}
	phases := phasesOf(r)
	flags := byte(recResult)
	if phases != 0 {
		flags |= hasPhases
	}
	if w.issues[r.Worker] != meant {
		flags |= hasIssue
	}
	if r.Code != protocol.OK || r.Message != "" {
		flags |= hasFault
	}
	w.buf = append(w.buf, flags)
	w.at(now)
	w.name(r.Worker)
	if flags&hasIssue != 0 {
		w.uint(r.Issuer)
		w.uint(r.Epoch)
		w.uint(r.Incarnation)
		w.remember(r.Worker, meant)
	}
	w.buf = append(w.buf, byte(r.Kind))
	w.int(int64(r.Action - w.action))
	w.action = r.Action
	w.name(r.Model)
	w.int(int64(r.GPU))
	w.int(int64(r.Batch))
	if flags&hasFault != 0 {
		w.name(string(r.Code))
		w.text(r.Message)
	}
	w.span(now, r.Received)
	w.span(r.Received, r.Begin)
	w.span(r.Begin, r.End)
	w.span(r.End, r.Sent)
	if flags&hasPhases == 0 {
		return
	}
	w.buf = append(w.buf, phases)
	from := r.Begin
	for i, p := range []*protocol.Phase{&r.Input, &r.Exec, &r.Output} {
		if phases>>i&1 != 0 {
			w.span(from, p.Begin)
			w.span(p.Begin, p.End)
			w.int(int64(p.Device) - int64(p.End-p.Begin))
			from = p.End
		}
	}
}

// phasesOf returns a bit per phase that is set.
func phasesOf(r *protocol.Result) (bits byte) {
	for i, p := range []*protocol.Phase{&r.Input, &r.Exec, &r.Output} {
		if *p != (protocol.Phase{}) {
			bits |= 1 << i
		}
	}
	return bits
}

// event writes an event as JSON.
func (w *Writer) event(now protocol.Time, e any) {
	core, name := w.machine().core, eventName(e)
	if core.events[name] != reflect.TypeOf(e) {
		w.err = fmt.Errorf("record %T: not an event of core %s", e, core.Name)
		return
	}
	about := core.about(e)
	written, runes, err := EncodeEvent(e)
	tag := byte(recEvent)
	if runes {
		tag |= isRunes
	}
	if about != 0 {
		tag |= hasAbout
	}
	if len(written) >= packFrom && err == nil {
		tag |= isPacked
		written, err = w.packed(written)
	}
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("record %T: %w", e, err)
	}
	w.buf = append(w.buf, tag)
	w.at(now)
	w.name(name)
	if about != 0 {
		w.uint(about)
	}
	w.text(string(written))
}

func (w *Writer) packed(written []byte) ([]byte, error) {
	var packed bytes.Buffer
	if w.packer == nil {
		w.packer, _ = flate.NewWriter(nil, flate.BestSpeed) // the level is valid
	}
	w.packer.Reset(&packed)
	_, err := w.packer.Write(written)
	err = errors.Join(err, w.packer.Close())
	return packed.Bytes(), err
}

// request writes an id as the difference to the last id of its front door.
func (w *Writer) request(id protocol.RequestID) {
	last := w.frontDoor(id.Door)
	w.int(int64(id.Seq - last.seq))
	last.seq = id.Seq
}

// frontDoor writes which one, and returns what is remembered of it; of one that does not enter
// the table, nothing is.
func (w *Writer) frontDoor(id uint64) *door {
	place, ok := w.places[id]
	switch {
	case ok:
		w.uint(uint64(place) + known)
	case len(w.doors) < maxNames:
		w.uint(listed)
		w.uint(id)
		place = len(w.doors)
		w.places[id] = place
		w.doors = append(w.doors, door{id: id})
	default:
		w.uint(unlisted)
		w.uint(id)
		return &door{id: id}
	}
	return &w.doors[place]
}

func (w *Writer) name(s string) {
	place, ok := w.names[s]
	switch {
	case ok:
		w.uint(place + known)
	case len(w.names) < maxNames && len(s) <= maxName:
		w.names[s] = uint64(len(w.names))
		w.uint(listed)
		w.text(s)
	default:
		w.uint(unlisted)
		w.text(s)
	}
}

func (h *history) remember(worker string, i issue) {
	if _, ok := h.issues[worker]; ok || len(h.issues) < maxNames {
		h.issues[worker] = i
	}
}

func (w *Writer) at(now protocol.Time) {
	w.span(w.now, now)
	w.now = now
}

func (w *Writer) span(from, to protocol.Time) { w.int(int64(to - from)) }

func (w *Writer) int(v int64) { w.buf = binary.AppendVarint(w.buf, v) }

func (w *Writer) uint(v uint64) { w.buf = binary.AppendUvarint(w.buf, v) }

func (w *Writer) text(s string) {
	w.uint(uint64(len(s)))
	w.buf = append(w.buf, s...)
}
