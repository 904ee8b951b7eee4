package worker

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/core/clocksync"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// startClock queries the scheduler's clock periodically. The reply subject
// contains the time of the query, so that no query must be remembered.
func (a *agent) startClock() error {
	inbox := a.bus.Control.NewInbox()
	sub, err := a.bus.Subscribe(a.bus.Control, inbox+".*", a.onClock)
	if err != nil {
		return err
	}
	a.subs = append(a.subs, sub)
	a.work.Go(func() {
		next := time.NewTimer(clocksync.QueryEvery)
		defer next.Stop()
		for {
			select {
			case <-a.ctx.Done():
				return
			case <-a.clockWake:
			case <-next.C:
			}
			asked := inbox + "." + strconv.FormatInt(int64(clock.Now()), 36)
			_ = a.bus.Control.PublishRequest(a.bus.Subjects.Clock(a.config.Name), asked, nil) // repeated by the next query
			next.Reset(a.nextClockQuery(clock.Now()))
		}
	})
	return nil
}

// nextClockQuery returns the time until the next query of the clock.
func (a *agent) nextClockQuery(now protocol.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.pace.Next(now, a.core.InFlight() == 0 && a.core.ClockEpoch() != 0)
}

// wakeClock ends the longer query interval, because there is work that needs the
// clock. The caller holds the lock.
func (a *agent) wakeClock(now protocol.Time) {
	if !a.pace.Work(now) {
		return
	}
	select {
	case a.clockWake <- struct{}{}:
	default:
	}
}

func (a *agent) onClock(m *nats.Msg) {
	answered := clock.Now()
	asked, err := strconv.ParseInt(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 36, 64)
	if err != nil || len(m.Data) == 0 { // no responders
		return
	}
	reading, fault := wire.Clock.Decode(m.Data)
	if fault != nil {
		a.bus.BadMessage("bad clock reading", m.Subject, fault)
		return
	}
	if !a.bus.Credible(m, reading.Epoch) {
		return
	}
	a.mu.Lock()
	before := a.core.ClockEpoch()
	out := a.stepCore(answered, &work.ClockReading{Epoch: reading.Epoch, Asked: protocol.Time(asked), Answered: answered, Remote: reading.Now})
	stepped := out.Stepped
	a.carryOut(out)
	if a.core.ClockEpoch() != before { // synchronise quickly with a new scheduler's clock
		a.wakeClock(answered)
	}
	a.mu.Unlock()
	if stepped {
		a.bus.Log.Debug("the clock of this host or the scheduler's was stepped; measuring anew", "worker", a.config.Name)
	}
}
