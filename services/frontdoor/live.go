package frontdoor

import (
	"cmp"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/livestats"
	"clockwork/pkg/wire"
)

// live shows a running front door: its statistics, and the outcomes of single
// requests.
type live struct {
	door      *FrontDoor
	stats     *livestats.FrontDoor
	shown     *shown
	recent    *recent
	published *bus.LiveStats
	questions *nats.Subscription
}

func newLive(d *FrontDoor) *live {
	return &live{door: d, stats: livestats.NewFrontDoor(), shown: &shown{stats: livestats.NewFrontDoor()}, recent: newRecent()}
}

// start starts the publication of statistics and the answers to questions; stop
// ends both.
func (l *live) start() (err error) {
	b := l.door.bus
	if l.published, err = b.StartLiveStats(protocol.FrontDoor, protocol.DoorName(l.door.id), l); err != nil {
		return err
	}
	l.questions, err = b.Answer(protocol.FrontDoor, l.answer)
	return err
}

func (l *live) stop() {
	if l == nil {
		return // Start failed before
	}
	l.published.Stop()
	l.shown.stop()
	if l.questions != nil {
		_ = l.questions.Unsubscribe() // the subscription ends with the connection at the latest
	}
}

// answered records an answered request.
func (l *live) answered(r *frontdoor.Request) {
	if l == nil {
		return // Start failed before
	}
	now := time.Now()
	a := ofRequest(r, now)
	l.recent.add(a)
	l.count(a.model, a.outcome.code, a.ended, a.cold)
}

// refused records a message that never became a request.
func (l *live) refused(refusal *protocol.Error) {
	l.recent.add(answered{outcome: outcome{code: refusal.Code, why: refusal.Message}, arrived: time.Now()})
	l.count("", refusal.Code, 0, false)
}

// count counts an answer for who watches on the broker, and for who does in this process.
func (l *live) count(model string, code protocol.Code, latency time.Duration, cold bool) {
	l.stats.Answered(model, code, latency, cold)
	l.shown.stats.Answered(model, code, latency, cold)
}

// Watch implements bus.StatsSource.
func (l *live) Watch(on bool, now time.Time) { l.stats.Watch(on, now) }

// LiveStats implements bus.StatsSource.
func (l *live) LiveStats(now time.Time) protocol.LiveStats {
	return l.fill(l.stats.LiveStats(now))
}

// fill adds the current state of the front door to statistics.
func (l *live) fill(f protocol.LiveStats) protocol.LiveStats {
	s := l.door.snapshot()
	f.FrontDoor.Stage, f.FrontDoor.Epoch = max(s.Stage, protocol.Querying).String(), s.Epoch
	f.FrontDoor.InFlight, f.FrontDoor.Models = s.InFlight, s.Models
	return f
}

// answer returns requests by their ids or their clients' ids; without ids, the
// latest missed requests.
func (l *live) answer(q protocol.Question) (any, *protocol.Error) {
	record := protocol.DoorRecord{Door: protocol.DoorName(l.door.id), Requests: []protocol.DoorRequest{}}
	if len(q.IDs) == 0 {
		l.addRecords(&record, l.recent.find(func(a *answered) bool { return a.outcome.code != protocol.OK }))
		return record, nil
	}
	room := protocol.MaxAnswer
	for i, text := range q.IDs {
		found := l.recent.find(func(a *answered) bool { return a.client == text && text != "" })
		if id, err := protocol.ParseRequestID(text); err == nil && id.Door == l.door.id {
			found = append(found, l.recent.find(func(a *answered) bool { return a.seq == id.Seq && id.Seq != 0 })...)
			found = append(found, l.open(id.Seq)...)
		}
		before := len(record.Requests)
		l.addRecords(&record, found)
		if room -= len(wire.EncodeBody(protocol.JSON, record.Requests[before:])); room < 0 && i > 0 {
			record.Requests, record.LeftOut = record.Requests[:before], q.IDs[i:]
			break
		}
	}
	return record, nil
}

// open returns a request that has no answer yet.
func (l *live) open(seq uint64) []answered {
	l.door.mu.Lock()
	defer l.door.mu.Unlock()
	if r := l.door.core.Request(seq); r != nil {
		return []answered{ofRequest(r, time.Time{})}
	}
	return nil
}

// addRecords adds requests to a record, the latest first.
func (l *live) addRecords(record *protocol.DoorRecord, found []answered) {
	slices.SortStableFunc(found, func(a, b answered) int { return cmp.Compare(b.arrived.UnixNano(), a.arrived.UnixNano()) })
	for i := range found[:min(len(found), protocol.MaxAlike)] {
		record.Requests = append(record.Requests, found[i].record(l.door.id))
	}
}
