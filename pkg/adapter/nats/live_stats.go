package bus

import (
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// StatsSource counts a service's work. One goroutine calls it.
type StatsSource interface {
	// Watch starts counting from zero, or stops.
	Watch(on bool, now time.Time)
	LiveStats(now time.Time) protocol.LiveStats
}

// LiveStats publishes a service's statistics while a client watches, and is idle
// otherwise.
type LiveStats struct {
	bus     *Bus
	subject string
	source  StatsSource
	watched chan struct{}
	sub     *nats.Subscription
	stop    chan struct{}
	done    chan struct{}
}

// StartLiveStats publishes the statistics of a source until Stop.
func (b *Bus) StartLiveStats(kind protocol.ServiceKind, id string, of StatsSource) (*LiveStats, error) {
	f := &LiveStats{
		bus: b, subject: b.Subjects.LiveStats(kind, id), source: of,
		watched: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	var err error
	f.sub, err = b.Subscribe(b.Control, b.Subjects.Watch(), func(*nats.Msg) {
		select {
		case f.watched <- struct{}{}:
		default: // one pending notice is enough, however many clients watch
		}
	})
	if err != nil {
		return nil, err
	}
	go f.run()
	return f, nil
}

func (f *LiveStats) run() {
	defer close(f.done)
	for {
		select {
		case <-f.stop:
			return
		case <-f.watched:
		}
		f.source.Watch(true, time.Now())
		f.publish()
		f.source.Watch(false, time.Now())
	}
}

// publish publishes until no client has watched for protocol.WatchFor.
func (f *LiveStats) publish() {
	every := time.NewTicker(protocol.LiveStatsEvery)
	defer every.Stop()
	until := time.Now().Add(protocol.WatchFor)
	for {
		select {
		case <-f.stop:
			return
		case <-f.watched:
			until = time.Now().Add(protocol.WatchFor)
		case now := <-every.C:
			if now.After(until) {
				return
			}
			stats := f.source.LiveStats(now)
			if err := f.bus.Control.Publish(f.subject, wire.EncodeBody(protocol.JSON, stats)); err != nil {
				f.bus.Log.Debug("live statistics not published", "error", err) // the next statistics follow in a second
			}
		}
	}
}

// Stop ends the publishing. A nil LiveStats publishes nothing.
func (f *LiveStats) Stop() {
	if f == nil {
		return
	}
	_ = f.sub.Unsubscribe() // the subscription ends with the connection at the latest
	close(f.stop)
	<-f.done
}
