package bus

import (
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Pulse publishes a service's heartbeat until it is stopped, and tells it to
// those who ask for the health of this host.
type Pulse struct {
	stop  chan struct{}
	done  chan struct{}
	now   chan struct{}
	asked chan *nats.Msg
}

// StartPulse publishes what beat returns, at once and then every
// protocol.HeartbeatEvery. One goroutine calls beat: where it hangs, questions
// are not answered either.
func (b *Bus) StartPulse(kind protocol.ServiceKind, id string, beat func() protocol.Heartbeat) *Pulse {
	p := &Pulse{stop: make(chan struct{}), done: make(chan struct{}), now: make(chan struct{}, 1), asked: make(chan *nats.Msg, maxAsked)}
	subject := b.Subjects.Heartbeat(kind, id)
	quiet := b.tellHealth(kind, id, p.asked)
	publish := func(h protocol.Heartbeat) {
		if err := b.Control.Publish(subject, wire.Heartbeat.Encode(&h)); err != nil {
			b.Log.Debug("heartbeat not published", "error", err)
		}
	}
	go func() {
		defer close(p.done)
		defer quiet()
		every := time.NewTicker(protocol.HeartbeatEvery)
		defer every.Stop()
		for {
			publish(beat())
			select {
			case <-p.stop:
				if h := beat(); h.State == protocol.Stopping {
					publish(h) // its last word: nobody need wait until it is silent
				}
				return
			case m := <-p.asked:
				h := beat()
				_ = m.Respond(wire.Heartbeat.Encode(&h)) // else it asks again
			case <-p.now:
			case <-every.C:
			}
		}
	}()
	return p
}

// Now publishes a heartbeat without waiting for the next tick.
func (p *Pulse) Now() {
	select {
	case p.now <- struct{}{}:
	default:
	}
}

// Stop ends the heartbeat.
func (p *Pulse) Stop() {
	close(p.stop)
	<-p.done
}

// maxAlive bounds the instances of one kind that are followed; the heartbeats
// of more are ignored.
const maxAlive = 16384

// Liveness watches the heartbeats of one kind of service. An instance is lost
// when it was silent for protocol.HeartbeatLost, or when the same id beats
// with a new incarnation. Time goes on here by ticks: where it is we who slept,
// nobody was silent.
type Liveness struct {
	mu    sync.Mutex
	alive map[string]life
	stop  chan struct{}
	done  chan struct{}
}

type life struct {
	beat   protocol.Heartbeat
	silent int // ticks since its last beat
}

// lostTicks is after how many ticks without a beat an instance is lost.
const lostTicks = int(protocol.HeartbeatLost / protocol.HeartbeatEvery)

// WatchHeartbeats calls beat for each heartbeat and lost for each lost
// instance (its last heartbeat). Both are called from two goroutines, never at
// the same time; lost before the first beat of a new incarnation.
func (b *Bus) WatchHeartbeats(kind protocol.ServiceKind, beat, lost func(protocol.Heartbeat)) (*Liveness, error) {
	l := &Liveness{alive: map[string]life{}, stop: make(chan struct{}), done: make(chan struct{})}
	var calls sync.Mutex
	sub, err := b.Subscribe(b.Control, b.Subjects.Heartbeat(kind, "*"), func(m *nats.Msg) {
		h, fault := wire.Heartbeat.Decode(m.Data)
		if fault != nil {
			b.Log.Warn("bad heartbeat", "subject", m.Subject, "error", fault)
			return
		}
		h.Service, h.ID = kind, b.Subjects.Token(m.Subject, 2)
		calls.Lock()
		defer calls.Unlock()
		old, replaced, seen := l.see(h)
		if !seen {
			b.Log.Warn("heartbeat ignored: too many instances", "subject", m.Subject, "limit", maxAlive)
			return
		}
		if replaced {
			lost(old)
		}
		beat(h)
	})
	if err != nil {
		return nil, err
	}
	go func() {
		defer close(l.done)
		defer func() { _ = sub.Unsubscribe() }()
		every := time.NewTicker(protocol.HeartbeatEvery)
		defer every.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-every.C:
				calls.Lock()
				for _, h := range l.tick() {
					lost(h)
				}
				calls.Unlock()
			}
		}
	}()
	return l, nil
}

// Alive returns the last heartbeat of every living instance, sorted by id.
func (l *Liveness) Alive() []protocol.Heartbeat {
	l.mu.Lock()
	defer l.mu.Unlock()
	beats := make([]protocol.Heartbeat, 0, len(l.alive))
	for _, a := range l.alive {
		beats = append(beats, a.beat)
	}
	slices.SortFunc(beats, byID)
	return beats
}

// Expect counts an instance as heard now, if it was not heard yet: it is lost
// when no heartbeat follows.
func (l *Liveness) Expect(h protocol.Heartbeat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.alive[h.ID]; !known && len(l.alive) < maxAlive {
		l.alive[h.ID] = life{beat: h}
	}
}

// Stop ends the watching.
func (l *Liveness) Stop() {
	close(l.stop)
	<-l.done
}

func (l *Liveness) see(h protocol.Heartbeat) (old protocol.Heartbeat, replaced, seen bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, known := l.alive[h.ID]
	if !known && len(l.alive) >= maxAlive {
		return old, false, false
	}
	l.alive[h.ID] = life{beat: h}
	return was.beat, known && was.beat.Incarnation != h.Incarnation, true
}

// tick counts for everyone, and returns who is lost by it.
func (l *Liveness) tick() []protocol.Heartbeat {
	l.mu.Lock()
	defer l.mu.Unlock()
	var gone []protocol.Heartbeat
	for id, a := range l.alive {
		if a.silent++; a.silent > lostTicks {
			gone = append(gone, a.beat)
			delete(l.alive, id)
			continue
		}
		l.alive[id] = a
	}
	slices.SortFunc(gone, byID)
	return gone
}

func byID(a, b protocol.Heartbeat) int {
	switch {
	case a.ID < b.ID:
		return -1
	case a.ID > b.ID:
		return 1
	}
	return 0
}
