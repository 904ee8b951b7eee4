package worker

import (
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/bus"
	"clockwork/pkg/clock"
	"clockwork/pkg/protocol"
)

// askEvery is how often the scheduler is asked for its time.
const askEvery = 25 * time.Millisecond

// startClock keeps the offset to the scheduler's clock. When it was asked
// stands in the reply's subject, so that no question need be remembered.
func (a *agent) startClock() error {
	inbox := a.bus.Control.NewInbox()
	sub, err := a.bus.Subscribe(a.bus.Control, inbox+".*", a.onClock)
	if err != nil {
		return err
	}
	a.subs = append(a.subs, sub)
	a.work.Go(func() {
		every := time.NewTicker(askEvery)
		defer every.Stop()
		for {
			select {
			case <-a.ctx.Done():
				return
			case <-every.C:
				asked := inbox + "." + strconv.FormatInt(int64(clock.Now()), 36)
				_ = a.bus.Control.PublishRequest(a.bus.Subjects.Clock(a.config.Name), asked, nil) // it is asked again
			}
		}
	})
	return nil
}

func (a *agent) onClock(m *nats.Msg) {
	answered := clock.Now()
	asked, err := strconv.ParseInt(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 36, 64)
	if err != nil || len(m.Data) == 0 { // nobody is there to ask
		return
	}
	reading, fault := bus.Clock.Decode(m.Data)
	if fault != nil {
		a.bus.Log.Warn("bad clock reading", "error", fault)
		return
	}
	a.mu.Lock()
	before, steps := a.offset.Epoch(), a.offset.Steps()
	a.offset.Add(reading.Epoch, protocol.Time(asked), answered, reading.Now)
	known := a.offset.Epoch() != before && a.offset.Epoch() != 0
	stepped := a.offset.Steps() > steps
	a.mu.Unlock()
	if stepped {
		a.bus.Log.Debug("the clock of this host or the scheduler's was stepped; measuring anew", "worker", a.config.Name)
	}
	if known {
		a.pulse.Now() // the scheduler waits for this
	}
}
