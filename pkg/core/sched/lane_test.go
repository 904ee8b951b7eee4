package sched

import (
	"fmt"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// A step of a lane: at an instant an action is sent that takes so long, or the
// nth action sent has ended at the worker; then the lane is free at, and its
// first action overdue by, so much. All in milliseconds. A message takes 1 ms
// to its worker, so an idle lane begins 1 ms after an action was sent.
type laneStep struct {
	at         float64
	send       float64
	ended      int     // the nth that was sent
	end        float64 // 0: the worker does not say when
	free, late float64
}

var laneCases = map[string][]laneStep{
	"an idle lane is free now": {
		{at: 5, free: 5},
	},
	"work adds up in order": {
		{at: 0, send: 10, free: 11}, // 0 + 1 + 10
		{at: 4, send: 4, free: 15},  // 11 + 4
		{at: 6, send: 2, free: 17},
	},
	"the next begins at the measured end, which was earlier": {
		{at: 0, send: 10, free: 11},
		{at: 4, send: 4, free: 15},
		{at: 9.5, ended: 1, end: 9, free: 13}, // 9 + 4, not 9.5 + 4
	},
	"the next begins at the measured end, which was later": {
		{at: 0, send: 10, free: 11},
		{at: 4, send: 4, free: 15},
		{at: 12.5, ended: 1, end: 12, free: 16}, // 12 + 4
	},
	"a worker whose clock is ahead has not ended after now": {
		{at: 0, send: 10, free: 11},
		{at: 4, send: 4, free: 15},
		{at: 9, ended: 1, end: 20, free: 13}, // 9 + 4
	},
	"one that is overdue ends now, whatever now is": {
		{at: 0, send: 10, free: 11},
		{at: 4, send: 4, free: 15},
		{at: 11, free: 15},
		{at: 13, free: 17, late: 2},    // 13 + 4; due at 11
		{at: 100, free: 104, late: 89}, // 100 + 4
	},
	"who was overdue and speaks is not any more": {
		{at: 0, send: 10, free: 11},
		{at: 0, send: 4, free: 15},
		{at: 30, free: 34, late: 19},
		{at: 30, ended: 1, end: 29, free: 33}, // 29 + 4
	},
	"a later one that ends first leaves the first where it was": {
		{at: 0, send: 10, free: 11},
		{at: 4, send: 4, free: 15},
		{at: 5, ended: 2, end: 5, free: 11},
		{at: 9, ended: 1, end: 9, free: 9},
	},
	"where the worker does not say when, it was now at the latest": {
		{at: 0, send: 10, free: 11},
		{at: 8, send: 20, free: 31},
		{at: 11, ended: 1, free: 31}, // 11 + 20; not 1 + 20, which would be before it was sent
	},
	"the lane that has become idle begins anew": {
		{at: 0, send: 10, free: 11},
		{at: 8, ended: 1, end: 8, free: 8},
		{at: 20, free: 20},
		{at: 20, send: 3, free: 24}, // 20 + 1 + 3
	},
}

func TestTheLaneTracker(t *testing.T) {
	for name, steps := range laneCases {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{1}})
			r.join(0, "w", 1, "a")
			playLane(t, r.core, steps)
		})
	}
}

// playLane plays the steps at the only GPU through the functions by which the
// core sends an action and takes its result.
func playLane(t *testing.T, c *engine, steps []laneStep) {
	g := c.gpus[0]
	var sent []*action
	for _, s := range steps {
		c.now = instant(s.at)
		c.begin()
		switch {
		case s.send > 0:
			c.infer(nil, 1, g.replicas[0], millis(s.send), c.now.Add(time.Second))
			sent = append(sent, g.infers[len(g.infers)-1])
		case s.ended > 0:
			c.close(sent[s.ended-1], instant(s.end))
		}
		if free, late := millisOf(g.free(c.now)), inMillis(g.late(c.now)); free != s.free || late != s.late {
			t.Errorf("at %v: free at %v and overdue by %v, expected %v and %v", s.at, free, late, s.free, s.late)
		}
	}
}

// A lane takes work while it is free before now + Ahead and its first action
// is overdue by Silent at most; one without work always does.
func TestWhenALaneIsOpen(t *testing.T) {
	for _, c := range []struct {
		what string
		send []float64 // all at 0
		at   float64
		open bool
	}{
		{what: "idle", at: 0, open: true},
		{what: "free in 11 ms", send: []float64{10}, at: 0},
		{what: "free in exactly 3 ms", send: []float64{10}, at: 8},
		{what: "free in less", send: []float64{10}, at: 8.001, open: true},
		{what: "overdue by exactly 10 ms, nothing behind", send: []float64{10}, at: 21, open: true},
		{what: "overdue by more", send: []float64{10}, at: 21.001},
		{what: "overdue, 2 ms behind it", send: []float64{10, 2}, at: 15, open: true}, // free at 17
		{what: "overdue, 3 ms behind it", send: []float64{10, 3}, at: 15},             // free at 18, ever 3 ms from now
	} {
		t.Run(c.what, func(t *testing.T) {
			r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{1}})
			r.join(0, "w", 1, "a")
			g := r.core.gpus[0]
			for _, takes := range c.send {
				r.core.begin()
				r.core.infer(nil, 1, g.replicas[0], millis(takes), r.core.now.Add(time.Second))
			}
			r.core.now = instant(c.at)
			if open := r.lanes().open(g); open != c.open {
				t.Errorf("open is %v, free at %v, overdue by %v", open, g.free(r.core.now), g.late(r.core.now))
			}
		})
	}
}

// A worker that says nothing gets, behind the first action, no more than
// Silent + Ahead = 13 ms of work, however many wait and however short they are.
func TestASilentWorkerGetsLittle(t *testing.T) {
	for _, policy := range []string{"clockwork", "faithful", "deferred", "aimd", "fifo"} {
		for _, exec := range []float64{0.5, 1, 2.5, 4} {
			t.Run(fmt.Sprintf("%s, %v ms each", policy, exec), func(t *testing.T) {
				var parts []part
				var names []string
				for i := range 40 { // of different models, so that they are no batch
					name := fmt.Sprintf("m%d", i)
					parts, names = append(parts, part{name: name, exec: []float64{exec}}), append(names, name)
				}
				r := newRig(t, policy, Defaults(), parts...)
				r.join(0, "w", 40, names...)
				for i := range 400 {
					r.submit(float64(i)/10, names[i%40], 400)
				}
				sum := time.Duration(0)
				for _, a := range r.sent(protocol.Infer)[1:] {
					sum += a.Action.Expected
				}
				if most := millis(13); sum > most || sum == 0 {
					t.Errorf("the silent worker got %v of work behind its first action, expected some, %v at most", sum, most)
				}
			})
		}
	}
}
