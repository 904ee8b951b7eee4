package record

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/protocol"
)

// ErrCut means that a recording was not closed: it ends here, or its last block
// is incomplete.
var ErrCut = errors.New("the recording was cut off here")

// Kind is the kind of an Item.
type Kind uint8

const (
	// Begin: a new machine of Core, made with Config.
	Begin Kind = iota + 1
	// Step: the machine received Event at Now, about the thing of this number, 0 for none.
	Step
	// Mark: Hash is the hash of this machine's outputs after Events events.
	Mark
	// Missing: Events events are missing here.
	Missing
)

// Item is one item of a recording. Its set fields depend on its kind.
type Item struct {
	Kind Kind
	// Machine is the one that the item is of: they count from 1, as they begin.
	Machine int
	Core    *Core
	Config  []byte // JSON
	Now     protocol.Time
	Event   any
	About   uint64
	Events  uint64
	Hash    Hash
}

// Setup returns what a scheduler's machine begins with.
func (i *Item) Setup() (s Setup, err error) {
	err = json.Unmarshal(i.Config, &s)
	return s, err
}

// EventName returns the name of the event's type, "" without an event.
func (i *Item) EventName() string {
	if i.Event == nil {
		return ""
	}
	return eventName(i.Event)
}

// Reader reads a recording from an untrusted source: invalid data is an error,
// and a size field alone causes no allocation.
type Reader struct {
	from  *bufio.Reader
	block decoder
	buf   bytes.Buffer
	at    int64 // offset of the next block
	ended bool  // the end record was read
	whole int64 // bytes of complete blocks
	// machines are the cores of those that began, selected is the one that records are of.
	machines []*Core
	selected int
	names    []string
	history
	submit sched.Submitted
	result sched.Result
	tick   sched.Tick
	due    sched.HeartbeatDue
	item   Item
	err    error
}

// NewReader reads the header.
func NewReader(from io.Reader) (*Reader, error) {
	r := &Reader{from: bufio.NewReader(from), history: history{issues: map[string]issue{}}}
	line := make([]byte, len(header))
	n, err := io.ReadFull(r.from, line)
	switch {
	case string(line[:n]) == header:
		r.at, r.whole = int64(n), int64(n)
		return r, nil
	case err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("read recording: %w", err)
	case bytes.HasPrefix(line[:n], []byte("clockwork-recording ")) && n == len(header):
		return nil, fmt.Errorf("read recording: its format is %q, this program reads %q; use the version of Clockwork that made it", line[:n-1], header[:len(header)-1])
	}
	return nil, errors.New("read recording: this is no recording")
}

// Next returns the next item. The item and its event are valid until the next
// call. At the end the error is io.EOF, or ErrCut if the recording was not
// closed.
func (r *Reader) Next() (*Item, error) {
	for r.err == nil {
		if len(r.block.rest) == 0 {
			r.err = r.load()
			continue
		}
		if r.ended {
			r.err = r.fault("something follows the end")
			continue
		}
		r.item = Item{}
		more := r.decode()
		if r.block.err != nil {
			r.err = r.fault(r.block.err.Error())
			continue
		}
		if more {
			return &r.item, nil
		}
	}
	return nil, r.err
}

// Whole returns how many bytes were read as complete blocks. The block after
// them is the one in Next's error.
func (r *Reader) Whole() int64 { return r.whole }

func (r *Reader) fault(what string) error {
	return fmt.Errorf("read recording: block before byte %d: %s", r.at, what)
}

// load reads the next block.
func (r *Reader) load() error {
	size, err := binary.ReadUvarint(r.from)
	if err != nil {
		switch {
		case err == io.EOF && r.ended:
			return io.EOF
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return ErrCut
		}
		return fmt.Errorf("read recording: %w", err)
	}
	if size == 0 || size > maxBlock {
		return fmt.Errorf("read recording: block at byte %d: %d bytes, at most %d", r.at, size, maxBlock)
	}
	if r.ended {
		return r.fault("something follows the end")
	}
	r.buf.Reset()
	n, err := io.CopyN(&r.buf, r.from, int64(size)+crc32.Size)
	switch {
	case err == io.EOF:
		return ErrCut
	case err != nil:
		return fmt.Errorf("read recording: %w", err)
	}
	body := r.buf.Bytes()[:size]
	sum := binary.LittleEndian.Uint32(r.buf.Bytes()[size:])
	r.at += n + int64(len(binary.AppendUvarint(nil, size)))
	if crc32.Checksum(body, castagnoli) != sum {
		return r.fault("its checksum is wrong")
	}
	r.whole = r.at
	r.block = decoder{rest: body}
	return nil
}

// decode reads one record and reports whether it is an item.
func (r *Reader) decode() bool {
	d := &r.block
	tag := d.byte()
	kind := tag & kindBits
	if r.selected == 0 && kind != recBegin && kind != recEnd {
		d.fail("nothing has begun")
		return false
	}
	if tag&^kindBits != 0 && kind != recEvent && kind != recResult {
		d.fail("flags that mean nothing")
		return false
	}
	if r.selected > 0 {
		r.item.Kind, r.item.Machine, r.item.Core = Step, r.selected, r.machines[r.selected-1]
	}
	switch kind {
	case recSubmitted, recResult, recTick, recHeartbeatDue, recAnswers:
		if r.item.Core.Name != Scheduler {
			d.fail("an event of the scheduler in core " + r.item.Core.Name)
			return false
		}
	}
	switch kind {
	case recBegin:
		r.beginning()
	case recSubmitted:
		r.submission(d.byte())
	case recResult:
		r.answer(tag)
	case recTick:
		r.time()
		r.item.Event = &r.tick
	case recHeartbeatDue:
		r.time()
		r.item.Event = &r.due
	case recAnswers:
		r.answersReported()
	case recEvent:
		r.event(tag)
	case recMachine:
		r.choose(d.uint())
		return false
	case recMark:
		r.item.Kind, r.item.Events, r.item.Hash = Mark, d.uint(), Hash(d.word())
	case recMissing:
		r.item.Kind, r.item.Events = Missing, d.uint()
	case recEnd:
		r.ended = true
		return false
	default:
		d.fail(fmt.Sprintf("a record of kind %d", kind))
	}
	return d.err == nil
}

func (r *Reader) beginning() {
	var b begin
	r.block.json(r.block.text(), &b)
	core := CoreNamed(b.Core)
	switch {
	case r.block.err != nil:
		return
	case core == nil:
		r.block.fail(fmt.Sprintf("there is no core %q", b.Core))
		return
	case len(r.machines) >= maxNames:
		r.block.fail("too many machines")
		return
	}
	r.machines = append(r.machines, core)
	r.selected = len(r.machines)
	r.item.Kind, r.item.Machine, r.item.Core, r.item.Config = Begin, r.selected, core, b.Config
}

func (r *Reader) choose(machine uint64) {
	if machine < 1 || machine > uint64(len(r.machines)) {
		r.block.fail(fmt.Sprintf("an event of machine %d; %d have begun", machine, len(r.machines)))
		return
	}
	r.selected = int(machine)
}

func (r *Reader) submission(flags byte) {
	d, s := &r.block, &r.submit
	r.time()
	*s = sched.Submitted{Submitted: protocol.Submitted{JSON: flags&isJSON != 0}}
	s.ID, s.Batch, s.Generated = r.request(), 1, flags&isGenerated != 0
	s.Model = r.name()
	s.Budget = d.duration()
	s.Elapsed = d.duration()
	if flags&hasPriority != 0 {
		s.Priority = int(d.int())
	}
	if flags&hasBatch != 0 {
		s.Batch = int(d.int())
	}
	if flags&hasBytes != 0 {
		s.Bytes = d.int()
	}
	if flags&hasCrashes != 0 {
		s.Crashes = d.byte()
	}
	if flags&hasReply != 0 {
		s.Reply = r.replyTo()
	}
	if flags&hasEpoch != 0 {
		r.epoch = d.uint()
	}
	s.Epoch = r.epoch
	r.item.Event = s
}

func (r *Reader) replyTo() string {
	same := r.block.uint()
	if same > uint64(min(len(r.reply), maxName)) {
		r.block.fail("a reply subject continues what was not given")
		return ""
	}
	r.reply = r.reply[:same] + r.block.text()
	return r.reply
}

func (r *Reader) answersReported() {
	d := &r.block
	r.time()
	last := r.frontDoor()
	a := &sched.AnswersReported{FrontDoor: last.id, Epoch: d.uint()}
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.fail("a list of answers is cut off")
		return
	}
	for range n {
		last.claimed += uint64(d.int())
		a.Answered = append(a.Answered, last.claimed)
	}
	r.item.Event = a
}

func (r *Reader) answer(tag byte) {
	d, a := &r.block, &r.result.Result
	r.time()
	*a = protocol.Result{Worker: r.name(), Code: protocol.OK}
	if tag&hasIssue != 0 {
		r.remember(a.Worker, issue{d.uint(), d.uint(), d.uint()})
	}
	last := r.issues[a.Worker]
	a.Issuer, a.Epoch, a.Incarnation = last.issuer, last.epoch, last.incarnation
	a.Kind = protocol.Kind(d.byte())
	r.action += protocol.ActionID(d.int())
	a.Action = r.action
	a.Model = r.name()
	a.GPU = int(d.int())
	a.Batch = int(d.int())
	if tag&hasFault != 0 {
		a.Code = protocol.Code(r.name())
		a.Message = d.text()
	}
	a.Received = r.now + d.span()
	a.Begin = a.Received + d.span()
	a.End = a.Begin + d.span()
	a.Sent = a.End + d.span()
	if tag&hasPhases != 0 {
		r.phases(a)
	}
	r.item.Event = &r.result
}

func (r *Reader) phases(a *protocol.Result) {
	d := &r.block
	bits, from := d.byte(), a.Begin
	if bits == 0 || bits > 7 {
		d.fail("phases that do not exist")
	}
	for i, p := range []*protocol.Phase{&a.Input, &a.Exec, &a.Output} {
		if bits>>i&1 != 0 {
			p.Begin = from + d.span()
			p.End = p.Begin + d.span()
			p.Device = d.duration() + p.End.Sub(p.Begin)
			from = p.End
		}
	}
}

// event reads an event that is written as JSON.
func (r *Reader) event(tag byte) {
	d := &r.block
	r.time()
	name := r.name()
	if tag&hasAbout != 0 {
		r.item.About = d.uint()
	}
	written := []byte(d.text())
	if tag&isPacked != 0 {
		written = d.unpack(written)
	}
	if d.err != nil {
		return
	}
	e, err := r.item.Core.event(name, written, tag&isRunes != 0)
	if err != nil {
		d.fail(err.Error())
	}
	r.item.Event = e
}

func (r *Reader) time() {
	r.now += r.block.span()
	r.item.Now = r.now
}

func (r *Reader) request() protocol.RequestID {
	last := r.frontDoor()
	last.seq += uint64(r.block.int())
	return protocol.RequestID{Door: last.id, Seq: last.seq}
}

// frontDoor returns what is remembered of the front door that follows.
func (r *Reader) frontDoor() *door {
	d := &r.block
	place := d.uint()
	if place < known {
		id := d.uint()
		switch {
		case place != listed || d.err != nil:
			return &door{id: id}
		case len(r.doors) >= maxNames:
			d.fail("too many front doors")
			return &door{id: id}
		}
		r.doors = append(r.doors, door{id: id})
		return &r.doors[len(r.doors)-1]
	}
	if place -= known; place >= uint64(len(r.doors)) {
		d.fail("a front door that was not named")
		return &door{}
	}
	return &r.doors[place]
}

func (r *Reader) name() string {
	d := &r.block
	place := d.uint()
	if place < known {
		s := d.text()
		if place == listed && d.err == nil {
			if len(r.names) >= maxNames || len(s) > maxName {
				d.fail("too many names")
				return s
			}
			r.names = append(r.names, s)
		}
		return s
	}
	if place -= known; place >= uint64(len(r.names)) {
		d.fail("a name that was not given")
		return ""
	}
	return r.names[place]
}
