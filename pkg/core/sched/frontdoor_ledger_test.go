package sched

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

func TestLedgersAreBounded(t *testing.T) {
	f := newFrontDoors(0)
	request := func(door, seq uint64, budget time.Duration) *protocol.Submitted {
		return &protocol.Submitted{Reply: "r", Submission: protocol.Submission{ID: protocol.RequestID{Door: door, Seq: seq}, Budget: budget}}
	}
	for seq := range uint64(maxWaiting) {
		if !f.note(0, request(1+seq%2, seq, time.Second)) {
			t.Fatalf("request %d is not kept", seq)
		}
	}
	if f.note(0, request(1, 1<<40, time.Second)) {
		t.Error("one more is kept")
	}
	f.strike(1, []uint64{0, 2, 2, 3, 99999999})
	f.strike(9, []uint64{1})
	if f.waiting != maxWaiting-2 {
		t.Errorf("%d wait", f.waiting)
	}
	f.drop(2)
	if f.waiting != maxWaiting/2-2 {
		t.Errorf("%d wait after one front door was dropped", f.waiting)
	}
	f.heard(protocol.Time(30*time.Second), 1) // not stale yet
	if f.waiting != maxWaiting/2-2 {
		t.Errorf("%d wait after 30 s", f.waiting)
	}
	f.heard(protocol.Time(2*time.Minute), 1)
	if f.waiting != 0 {
		t.Errorf("%d wait after 2 min", f.waiting)
	}
	for _, budget := range []time.Duration{1, 1<<63 - 1} {
		f.note(5, request(1, uint64(budget), budget))
	}
	if due := f.ledgers[1].due(); due != protocol.Time(protocol.AnswerLostAfter+6) {
		t.Errorf("the first is due at %v", due)
	}
	f.strike(1, []uint64{1})
	if due := f.ledgers[1].due(); due < protocol.Time(protocol.MaxSLO) || due > protocol.Time(2*protocol.MaxSLO) {
		t.Errorf("a budget without end is due at %v", due)
	}
}

// TestWhatWasAnsweredIsBounded: what cannot be remembered is not answered, since its
// front door might ask for it.
func TestWhatWasAnsweredIsBounded(t *testing.T) {
	f := newFrontDoors(0)
	for seq := range uint64(maxWaiting) {
		if !f.remember(0, seq%3, seq) {
			t.Fatalf("answer %d is not remembered", seq)
		}
	}
	of := &ledger{door: 7, clients: map[uint64]client{1: {}}, queriedAt: 1}
	f.ledgers[7], f.waiting = of, 1
	if answers := f.take(1, of); len(answers) > 0 || f.waiting != 0 {
		t.Errorf("answered %v, %d wait", answers, f.waiting)
	}
	of.clients[2], f.waiting = client{}, 1
	later := protocol.Time(askFor + 1)
	of.queriedAt = later
	if answers := f.take(later, of); len(answers) != 1 || f.sum != 1 {
		t.Errorf("answered %v, %d are remembered after a while", answers, f.sum)
	}
	if askFor <= protocol.LateReplyFor {
		t.Error("front doors may ask for longer than is remembered")
	}
}
