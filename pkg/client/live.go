package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/wire"
)

// watchEvery is the interval between Watch messages, which keep the statistics enabled.
const watchEvery = protocol.WatchFor / 3

// Watch calls seen, from one goroutine, with the statistics of every service of the
// stack once a second, until the returned function is called. That function waits until
// the Watch messages have stopped. kind and id are those of the publishing service.
func (c *Client) Watch(seen func(kind protocol.ServiceKind, id string, f protocol.LiveStats)) (stop func(), err error) {
	sub, err := c.nc.Subscribe(c.subjects.LiveStats("*", "*"), func(m *nats.Msg) {
		var f protocol.LiveStats
		if readAnswer(m.Subject, m.Data, &f) == nil { // of another program nothing is shown
			seen(protocol.ServiceKind(c.subjects.Token(m.Subject, 1)), c.subjects.Token(m.Subject, 2), f)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe to live statistics: %w", err)
	}
	err = c.nc.Publish(c.subjects.Watch(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask for live statistics: %w", err)
	}
	for _, subject := range []string{c.subjects.LiveStats("*", "*"), c.subjects.Watch()} {
		if refusal := c.allowed(subject); refusal != nil {
			_ = sub.Unsubscribe() // it gets nothing
			return nil, refusal
		}
	}
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		every := time.NewTicker(watchEvery)
		defer every.Stop()
		for {
			_ = c.nc.Publish(c.subjects.Watch(), nil) // a failed publish is repeated at the next tick
			select {
			case <-every.C:
			case <-ended:
				return
			}
		}
	}()
	return func() {
		_ = sub.Unsubscribe() // the subscription ends with the connection at the latest
		close(ended)
		<-done
	}, nil
}

// How long to wait for the front doors' answers: for the first, and for each further
// one.
const (
	firstAnswer = 2 * time.Second
	nextAnswer  = 300 * time.Millisecond
)

// AskDoors asks all front doors what they know of requests, and returns the records of
// those that answered. What did not fit into an answer is asked for again.
func (c *Client) AskDoors(ctx context.Context, q protocol.Question) (records []protocol.DoorRecord, refusal *protocol.Error) {
	for {
		more, refusal := c.askDoors(ctx, q)
		if refusal != nil {
			return nil, refusal
		}
		left := protocol.Question{}
		for _, r := range more {
			for _, id := range r.LeftOut {
				if !slices.Contains(left.IDs, id) {
					left.IDs = append(left.IDs, id)
				}
			}
			records = addRecord(records, r)
		}
		if len(left.IDs) == 0 || len(left.IDs) >= len(q.IDs) {
			return records, nil
		}
		q = left
	}
}

// addRecord adds what a front door says for the first time.
func addRecord(records []protocol.DoorRecord, r protocol.DoorRecord) []protocol.DoorRecord {
	i := slices.IndexFunc(records, func(known protocol.DoorRecord) bool { return known.Door == r.Door })
	if i < 0 {
		r.LeftOut = nil
		return append(records, r)
	}
	for _, request := range r.Requests {
		if !slices.ContainsFunc(records[i].Requests, func(known protocol.DoorRequest) bool { return known.ID == request.ID }) {
			records[i].Requests = append(records[i].Requests, request)
		}
	}
	return records
}

func (c *Client) askDoors(ctx context.Context, q protocol.Question) (records []protocol.DoorRecord, refusal *protocol.Error) {
	inbox := c.nc.NewInbox()
	sub, err := c.nc.SubscribeSync(inbox)
	if err == nil {
		defer func() { _ = sub.Unsubscribe() }()
		err = c.nc.PublishRequest(c.subjects.Explain(protocol.FrontDoor), inbox, wire.EncodeBody(protocol.JSON, q))
	}
	if err == nil {
		if refusal := c.allowed(c.subjects.Explain(protocol.FrontDoor)); refusal != nil {
			return nil, refusal
		}
	}
	for wait := firstAnswer; err == nil; wait = nextAnswer {
		var m *nats.Msg
		if m, err = next(ctx, sub, wait); err != nil {
			break
		}
		var r protocol.DoorRecord
		if refusal := readAnswer(c.subjects.Explain(protocol.FrontDoor), m.Data, &r); refusal != nil {
			return nil, refusal
		}
		records = append(records, r)
	}
	if len(records) > 0 && ctx.Err() == nil {
		return records, nil
	}
	return nil, protocol.Errorf(protocol.StateUnavailable, "no front door answers: %v", err)
}

func next(ctx context.Context, sub *nats.Subscription, wait time.Duration) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	m, err := sub.NextMsgWithContext(ctx)
	if err == nil && nobody(m) {
		return nil, nats.ErrNoResponders
	}
	return m, err
}

// schedulerWait bounds a query to the scheduler.
const schedulerWait = 2 * time.Second

// AskScheduler asks the active scheduler about requests.
func (c *Client) AskScheduler(ctx context.Context, q protocol.Question) (*explain.Report, *protocol.Error) {
	ctx, cancel := context.WithTimeout(ctx, schedulerWait)
	defer cancel()
	subject := c.subjects.Explain(protocol.Scheduler)
	m, refusal := c.exchange(ctx, subject, wire.EncodeBody(protocol.JSON, q))
	switch {
	case refusal == nil && nobody(m):
		return nil, protocol.Refusal(protocol.SchedulerLost)
	case refusal == nil:
	case refusal.Code == protocol.PermissionDenied:
		return nil, refusal
	default:
		return nil, protocol.Errorf(protocol.StateUnavailable, "the scheduler does not answer: %s", refusal.Message)
	}
	var report explain.Report
	if refusal := readAnswer(subject, m.Data, &report); refusal != nil {
		return nil, refusal
	}
	return &report, nil
}
