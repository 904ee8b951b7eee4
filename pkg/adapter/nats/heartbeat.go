package bus

import (
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Heartbeater publishes a service's heartbeat until it is stopped, and answers health
// queries with it.
type Heartbeater struct {
	stop      chan struct{}
	done      chan struct{}
	now       chan struct{}
	questions chan *nats.Msg
}

// StartHeartbeats publishes the result of beat, at once and then every
// protocol.HeartbeatEvery. One goroutine calls beat: if beat hangs, health queries are
// not answered either.
func (b *Bus) StartHeartbeats(kind protocol.ServiceKind, id string, beat func() protocol.Heartbeat) *Heartbeater {
	return b.StartHeartbeatsOf(kind, kind, id, beat)
}

// StartHeartbeatsOf is StartHeartbeats for a service of which health checks speak as another
// kind.
func (b *Bus) StartHeartbeatsOf(kind, health protocol.ServiceKind, id string, beat func() protocol.Heartbeat) *Heartbeater {
	p := &Heartbeater{stop: make(chan struct{}), done: make(chan struct{}), now: make(chan struct{}, 1), questions: make(chan *nats.Msg, maxHealthQueries)}
	subject := b.Subjects.Heartbeat(kind, id)
	quiet := b.serveHealth(health, id, p.questions)
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
					publish(h) // the last heartbeat: others need not wait for HeartbeatLost
				}
				return
			case m := <-p.questions:
				h := beat()
				_ = b.Respond(m, wire.Heartbeat.Encode(&h)) // after a failure the client queries again
			case <-p.now:
			case <-every.C:
			}
		}
	}()
	return p
}

// Now publishes a heartbeat without waiting for the next tick.
func (p *Heartbeater) Now() {
	select {
	case p.now <- struct{}{}:
	default:
	}
}

// Stop ends the heartbeats and waits for the goroutine.
func (p *Heartbeater) Stop() {
	close(p.stop)
	<-p.done
}

// Liveness tracks the heartbeats of one kind of service by the rules of liveness.Watch.
// Any goroutine may use it.
type Liveness struct {
	mu    sync.Mutex // guards watch
	watch liveness.Watch
	stop  chan struct{}
	done  chan struct{}
}

// WatchHeartbeats calls beat for each heartbeat, and lost for each lost instance with
// its last heartbeat. Both are called from two goroutines, never at the same time; lost
// is called before the first beat of a new incarnation.
func (b *Bus) WatchHeartbeats(kind protocol.ServiceKind, beat, lost func(protocol.Heartbeat)) (*Liveness, error) {
	return b.watch(kind, beat, func(c liveness.Change) {
		if !c.There {
			lost(c.Heartbeat)
		}
	})
}

// WatchInstances calls change when an instance is there, and when it is lost. The calls are
// made from two goroutines, never at the same time.
func (b *Bus) WatchInstances(kind protocol.ServiceKind, change func(liveness.Change)) (*Liveness, error) {
	return b.watch(kind, func(protocol.Heartbeat) {}, change)
}

// watch calls change for what a heartbeat changes, or its absence, and then beat.
func (b *Bus) watch(kind protocol.ServiceKind, beat func(protocol.Heartbeat), change func(liveness.Change)) (*Liveness, error) {
	l := &Liveness{stop: make(chan struct{}), done: make(chan struct{})}
	var calls sync.Mutex
	sub, err := b.OnHeartbeats(kind, func(h protocol.Heartbeat) {
		calls.Lock()
		defer calls.Unlock()
		changes, followed := l.see(h)
		if !followed {
			b.Notice(slog.LevelWarn, "heartbeat ignored: too many instances", string(kind), "service", kind, "id", h.ID, "limit", liveness.MaxInstances)
			return
		}
		for _, c := range changes {
			change(c)
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
				for _, c := range l.tick() {
					change(c)
				}
				calls.Unlock()
			}
		}
	}()
	return l, nil
}

// OnHeartbeats calls heard for each heartbeat of one kind of service.
func (b *Bus) OnHeartbeats(kind protocol.ServiceKind, heard func(protocol.Heartbeat)) (*nats.Subscription, error) {
	return b.Subscribe(b.Control, b.Subjects.Heartbeat(kind, "*"), func(m *nats.Msg) {
		h, fault := wire.Heartbeat.Decode(m.Data)
		if fault != nil {
			b.BadMessage("bad heartbeat", m.Subject, fault)
			return
		}
		if kind == protocol.Scheduler && !b.Credible(m, h.Epoch) {
			return // workers and front doors only repeat epochs, and are not believed in any case
		}
		h.Service, h.ID = kind, b.Subjects.Token(m.Subject, 2)
		heard(h)
	})
}

// Alive returns the last heartbeat of every live instance, sorted by id.
func (l *Liveness) Alive() []protocol.Heartbeat {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watch.Alive()
}

// Expect treats an instance as if its heartbeat had arrived now, unless it has sent one:
// it is lost if no heartbeat follows.
func (l *Liveness) Expect(h protocol.Heartbeat) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch.Expect(h)
}

// Stop ends the tracking and waits for the goroutine.
func (l *Liveness) Stop() {
	close(l.stop)
	<-l.done
}

func (l *Liveness) see(h protocol.Heartbeat) (changes []liveness.Change, followed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watch.Beat(h)
}

func (l *Liveness) tick() []liveness.Change {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watch.Tick()
}
