package record

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/protocol"
)

// Writer writes a recording. After an error it writes nothing more, and every
// method returns that error.
type Writer struct {
	to     io.Writer
	buf    []byte // records of the open block
	events uint64 // of the current core
	hash   Hash
	err    error
	bytes  int64
	names  map[string]uint64
	places map[uint64]int // index in history.doors, by door
	history
}

// NewWriter writes the header.
func NewWriter(to io.Writer) (*Writer, error) {
	w := &Writer{to: to, names: map[string]uint64{}, places: map[uint64]int{}, history: history{issues: map[string]issue{}}}
	w.write([]byte(header))
	return w, w.err
}

// Begin records a new core; the events that follow belong to it.
func (w *Writer) Begin(policy string, config policies.Config) error {
	w.mark()
	body, err := json.Marshal(begin{policy, config})
	if err != nil {
		return fmt.Errorf("record begin: %w", err)
	}
	w.buf = append(w.buf, recBegin)
	w.text(string(body))
	w.events, w.hash = 0, 0
	return w.full()
}

// Step records an event of the core and adds its output to the hash.
func (w *Writer) Step(now protocol.Time, e sched.Event, out sched.Output) error {
	h := w.hash
	h.Add(&out)
	return w.StepHashed(now, e, h)
}

// StepHashed is Step for a driver that computes the hash: h covers all outputs
// of this core, including this event's.
func (w *Writer) StepHashed(now protocol.Time, e sched.Event, h Hash) error {
	if w.err != nil {
		return w.err
	}
	switch e := e.(type) {
	case *sched.Submit:
		if e.Crashes != 0 {
			w.rare(now, rareSubmit, e.Submission)
		} else {
			w.submit(now, &e.Submission)
		}
	case *sched.Result:
		if e.State != nil || len(e.Loaded) > 0 || len(e.Profiles) > 0 {
			w.rare(now, rareResult, e.Result)
		} else {
			w.result(now, &e.Result)
		}
	case *sched.Tick:
		w.buf = append(w.buf, recTick)
		w.at(now)
	case *sched.Activate:
		w.rare(now, rareActivate, e)
	case *sched.WorkerJoined:
		w.rare(now, rareJoined, e)
	case *sched.GPUHealth:
		w.rare(now, rareHealth, e)
	case *sched.WorkerLost:
		w.buf = append(w.buf, recLost)
		w.at(now)
		w.name(e.ID)
		w.uint(e.Incarnation)
	case *sched.DoorLost:
		w.buf = append(w.buf, recDoor)
		w.at(now)
		w.uint(e.Door)
	default:
		w.err = fmt.Errorf("record %T: not an event that is known", e)
	}
	w.events, w.hash = w.events+1, h
	return w.full()
}

// Missing records that n events of this core were lost here. The hash includes
// their outputs.
func (w *Writer) Missing(n uint64) error {
	w.buf = append(w.buf, recMissing)
	w.uint(n)
	w.events += n
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

func (w *Writer) mark() {
	if w.events > 0 {
		w.buf = append(w.buf, recMark)
		w.uint(w.events)
		w.buf = binary.LittleEndian.AppendUint64(w.buf, uint64(w.hash))
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

func (w *Writer) submit(now protocol.Time, s *protocol.Submission) {
	flags := byte(recSubmit)
	if s.Generated {
		flags |= isGenerated
	}
	if s.Priority != 0 {
		flags |= hasPriority
	}
	if s.Batch != 1 {
		flags |= hasBatch
	}
	if s.Bytes != 0 {
		flags |= hasBytes
	}
	w.buf = append(w.buf, flags)
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

func (w *Writer) rare(now protocol.Time, kind byte, v any) {
	w.buf = append(w.buf, recRare, kind)
	w.at(now)
	var packed bytes.Buffer
	z, _ := flate.NewWriter(&packed, flate.BestSpeed)
	err := json.NewEncoder(z).Encode(v)
	if err == nil {
		err = z.Close()
	}
	if err != nil && w.err == nil {
		w.err = fmt.Errorf("record %T: %w", v, err)
	}
	w.text(packed.String())
}

// request writes an id as the difference to the last id of its door.
func (w *Writer) request(id protocol.RequestID) {
	place, ok := w.places[id.Door]
	switch {
	case ok:
		w.uint(uint64(place) + known)
		w.int(int64(id.Seq - w.doors[place].seq))
		w.doors[place].seq = id.Seq
	case len(w.doors) < maxNames:
		w.uint(listed)
		w.uint(id.Door)
		w.uint(id.Seq)
		w.places[id.Door] = len(w.doors)
		w.doors = append(w.doors, door{id.Door, id.Seq})
	default:
		w.uint(unlisted)
		w.uint(id.Door)
		w.uint(id.Seq)
	}
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
