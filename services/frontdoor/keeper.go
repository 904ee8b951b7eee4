package frontdoor

import (
	"context"
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// Keeper looks after the startup buffer in the one controller that leads: it
// answers each stored request BUFFER_TIMEOUT when its time is over, and hands
// what still waits on to its front door, in order, once a scheduler is active.
// One goroutine owns it.
type Keeper struct {
	door    *FrontDoor
	buffer  *bus.Buffer
	timeout time.Duration
	arrived chan bus.Buffered
	renewed chan struct{} // the buffer was lost and made again
	waiting []waiting     // in order of arrival, so of expiry too
}

type waiting struct {
	bus.Buffered
	arrived time.Time
}

// lookEvery is how often the keeper looks whether a scheduler became active.
const lookEvery = 20 * time.Millisecond

// handOnAtOnce is how many requests are handed on before the keeper looks again
// whose time is over.
const handOnAtOnce = 64

// NewKeeper makes a keeper of the buffer for a front door; Run lets it work.
func NewKeeper(door *FrontDoor) *Keeper {
	return &Keeper{door: door, buffer: door.buffer, timeout: door.config.BufferTimeout, arrived: make(chan bus.Buffered, 1), renewed: make(chan struct{})}
}

// Run works until ctx ends, with a new watch for each buffer.
func (k *Keeper) Run(ctx context.Context) {
	defer k.door.waiting.Store(0)
	for ctx.Err() == nil {
		watching, cancel := context.WithCancel(ctx)
		stop, err := k.buffer.Watch(ctx, func(b bus.Buffered) {
			select {
			case k.arrived <- b:
			case <-watching.Done():
			}
		})
		if err != nil {
			cancel()
			k.door.bus.Log.Warn("buffer not watched", "error", err)
			clock.Pause(ctx, 200*time.Millisecond)
			continue
		}
		k.keep(ctx)
		cancel()
		stop()
		for len(k.arrived) > 0 { // of the watch that ended
			<-k.arrived
		}
	}
}

func (k *Keeper) keep(ctx context.Context) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		var due <-chan time.Time // while nothing waits, nobody is woken
		if len(k.waiting) > 0 {
			due = look.C
		}
		select {
		case <-ctx.Done():
			return
		case <-k.renewed:
			k.begin()
			return
		case b := <-k.arrived:
			k.waiting = append(k.waiting, waiting{b, arrival(b.Stored, time.Now(), k.timeout)})
			k.door.waiting.Store(int64(len(k.waiting)))
		case <-due:
			k.expire(time.Now())
			for k.door.serving() && k.handOn(ctx) {
				k.expire(time.Now())
			}
		}
	}
}

// Renew says that the buffer was lost and made again. It waits until the keeper
// has heard it.
func (k *Keeper) Renew(ctx context.Context) error {
	select {
	case k.renewed <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// begin answers what waited in a buffer that is lost: the requests are gone, and
// their numbers are those of others now.
func (k *Keeper) begin() {
	k.door.forgetBuffer()
	k.door.waiting.Store(0)
	for _, w := range k.waiting {
		refusal := protocol.Errorf(protocol.StateUnavailable, "the store lost the request while it waited for activation")
		k.door.refuse(&request{encoding: w.Encoding, reply: w.Reply, waited: time.Since(w.arrived), trace: k.door.traceOf(&w.Buffered)}, refusal)
	}
	k.waiting = nil
}

// arrival is when a request was stored, on this process's clock: the broker's
// clock may be another machine's, so its word counts only within reason.
func arrival(stored, now time.Time, timeout time.Duration) time.Time {
	age := min(max(0, now.Sub(stored)), timeout)
	return now.Add(-age)
}

// expire answers those whose time is over.
func (k *Keeper) expire(now time.Time) {
	for len(k.waiting) > 0 && now.Sub(k.waiting[0].arrived) >= k.timeout {
		w := k.next()
		refusal := protocol.Errorf(protocol.BufferTimeout, "waited %v for a scheduler to become active", k.timeout)
		k.door.refuse(&request{encoding: w.Encoding, reply: w.Reply, buffered: w.Seq, waited: now.Sub(w.arrived), trace: k.door.traceOf(&w.Buffered)}, refusal)
	}
}

// next takes out the one that waits longest, before it is counted elsewhere.
func (k *Keeper) next() waiting {
	w := k.waiting[0]
	k.waiting = k.waiting[1:]
	k.door.waiting.Store(int64(len(k.waiting)))
	return w
}

// handOn hands those that wait longest to the front door, in order, and
// reports whether more wait.
func (k *Keeper) handOn(ctx context.Context) bool {
	for range min(handOnAtOnce, len(k.waiting)) {
		w := k.waiting[0]
		body, err := k.buffer.Body(ctx, w.Seq)
		if err != nil { // it is tried again until its time is over
			k.door.bus.Log.Warn("buffered request not read", "error", err)
			return false
		}
		k.next()
		if body != nil { // else somebody answered it
			k.door.handOn(w.Buffered, body, time.Since(w.arrived))
		}
	}
	return len(k.waiting) > 0
}
