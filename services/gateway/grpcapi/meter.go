package grpcapi

import (
	"encoding/binary"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/oip"
)

// meter follows what a client sends over HTTP/2, and counts the bytes of messages of gRPC
// that have begun to come and are not whole: the library holds these until they are, and
// bounds each, but not all of them together. It reads the heads of frames and of messages,
// and decides nothing about them: what is no HTTP/2 is the library's to refuse.
//
// One goroutine at a time may use it.
type meter struct {
	reading oip.Reading
	largest uint32 // message that the library takes

	preface int                 // bytes of the connection's preface that are still to come
	head    [9]byte             // of the present frame
	filled  int                 // bytes of head
	left    int                 // bytes of the frame's payload that are still to come
	data    int                 // bytes of them that are data of a message, not padding
	padded  bool                // the next byte is the length of the padding
	begun   map[uint32]*partial // by stream
}

// partial is a message that has begun to come and is not whole.
type partial struct {
	head   [5]byte // of gRPC: whether it is compressed, and its length
	filled int
	left   uint32 // bytes that are still to come
	held   int64  // bytes that are counted
	began  time.Time
}

// The parts of HTTP/2 that the meter knows.
const (
	prefaceSize  = 24
	frameData    = 0
	frameReset   = 3
	flagEnd      = 1
	flagPadded   = 8
	messageHead  = 5
	maxPartial   = 1024 // messages of a connection that have begun: far above its calls
	partialCosts = 256  // bytes of one that has just begun
)

func newMeter(reading oip.Reading, largest int) meter {
	return meter{reading: reading, largest: uint32(largest), preface: prefaceSize, begun: map[uint32]*partial{}}
}

// feed follows bytes that have come. An error says that more is held than may be.
func (m *meter) feed(p []byte, now time.Time) *protocol.Error {
	skipped := min(m.preface, len(p))
	m.preface -= skipped
	for p = p[skipped:]; len(p) > 0; {
		if m.filled < len(m.head) {
			n := copy(m.head[m.filled:], p)
			m.filled += n
			p = p[n:]
			if m.filled == len(m.head) {
				m.beginFrame()
			}
			continue
		}
		n := min(m.left, len(p))
		if fault := m.payload(p[:n], now); fault != nil {
			return fault
		}
		p = p[n:]
		m.endFrame()
	}
	return nil
}

func (m *meter) stream() uint32 { return binary.BigEndian.Uint32(m.head[5:]) &^ (1 << 31) }

func (m *meter) is(kind, flag byte) bool { return m.head[3] == kind && m.head[4]&flag != 0 }

func (m *meter) beginFrame() {
	m.left = int(m.head[0])<<16 | int(m.head[1])<<8 | int(m.head[2])
	m.data, m.padded = 0, m.is(frameData, flagPadded)
	if m.head[3] == frameData {
		m.data = m.left
	}
	m.endFrame()
}

// endFrame ends a frame that has come whole.
func (m *meter) endFrame() {
	if m.left > 0 {
		return
	}
	if m.head[3] == frameReset || m.is(frameData, flagEnd) {
		m.drop(m.stream())
	}
	m.filled = 0
}

// payload follows a part of a frame's payload.
func (m *meter) payload(p []byte, now time.Time) *protocol.Error {
	m.left -= len(p)
	if m.padded && len(p) > 0 {
		m.padded = false
		m.data = max(0, m.data-1-int(p[0]))
		p = p[1:]
	}
	p = p[:min(m.data, len(p))]
	m.data -= len(p)
	for len(p) > 0 {
		n, fault := m.message(p, now)
		if fault != nil {
			return fault
		}
		p = p[n:]
	}
	return nil
}

// message follows data of one message, and returns how many bytes are of that one.
func (m *meter) message(p []byte, now time.Time) (int, *protocol.Error) {
	id := m.stream()
	x := m.begun[id]
	if x == nil {
		if len(m.begun) == maxPartial {
			return 0, protocol.Errorf(protocol.Overloaded, "%d messages of one connection have begun", maxPartial)
		}
		x = &partial{began: now}
		if fault := m.hold(x, partialCosts); fault != nil {
			return 0, fault
		}
		m.begun[id] = x
	}
	if x.filled < messageHead {
		n := copy(x.head[x.filled:], p)
		x.filled += n
		if x.filled == messageHead {
			x.left = binary.BigEndian.Uint32(x.head[1:])
			m.endMessage(id, x)
		}
		return n, nil
	}
	n := min(uint64(x.left), uint64(len(p)))
	if binary.BigEndian.Uint32(x.head[1:]) <= m.largest { // else the library drops it
		if fault := m.hold(x, int64(n)); fault != nil {
			return 0, fault
		}
	}
	x.left -= uint32(n)
	m.endMessage(id, x)
	return int(n), nil
}

func (m *meter) hold(x *partial, n int64) *protocol.Error {
	fault := m.reading.Take(n)
	if fault == nil {
		x.held += n
	}
	return fault
}

func (m *meter) endMessage(id uint32, x *partial) {
	if x.left == 0 {
		m.drop(id)
	}
}

func (m *meter) drop(id uint32) {
	if x := m.begun[id]; x != nil {
		m.reading.Release(x.held)
		delete(m.begun, id)
	}
}

// oldest is when the first of the messages began that are not whole; zero for none.
func (m *meter) oldest() (oldest time.Time) {
	for _, x := range m.begun {
		if oldest.IsZero() || x.began.Before(oldest) {
			oldest = x.began
		}
	}
	return oldest
}

// end gives back what is counted.
func (m *meter) end() {
	m.reading.GiveBack()
	m.begun = map[uint32]*partial{}
}
