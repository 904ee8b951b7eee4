package bus_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// counted is a service that counts how often it was asked for figures.
type counted struct {
	mu      sync.Mutex
	watched []bool
}

func (c *counted) Watch(on bool, _ time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watched = append(c.watched, on)
}

func (c *counted) LiveStats(now time.Time) protocol.LiveStats {
	return protocol.LiveStats{At: now, Worker: &protocol.WorkerStats{Models: 7}}
}

func TestFiguresAreToldWhileSomebodyWatches(t *testing.T) {
	s := bustest.Server(t)
	b, nc := bustest.Open(t, s), bustest.Client(t, s)
	c := &counted{}
	f, err := b.StartLiveStats(protocol.Worker, "w1", c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Control.Flush(); err != nil {
		t.Fatal(err)
	}
	heard, err := nc.SubscribeSync(b.Subjects.LiveStats("*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	if m, err := heard.NextMsg(1200 * time.Millisecond); err == nil {
		t.Errorf("told while nobody watches: %s", m.Data)
	}
	for range 100 { // however many watch
		if err := nc.Publish(b.Subjects.Watch(), nil); err != nil {
			t.Fatal(err)
		}
	}
	m, err := heard.NextMsg(bustest.Wait)
	if err != nil {
		t.Fatal(err)
	}
	var got protocol.LiveStats
	if err := json.Unmarshal(m.Data, &got); err != nil || got.Worker == nil || got.Worker.Models != 7 || m.Subject != "clockwork.figures.worker.w1" {
		t.Errorf("%s: %s, %v", m.Subject, m.Data, err)
	}
	f.Stop()
	if len(c.watched) != 2 || !c.watched[0] || c.watched[1] {
		t.Errorf("watched: %v", c.watched)
	}
}

func TestQuestionsAreAnsweredWithinBounds(t *testing.T) {
	s := bustest.Server(t)
	b, nc := bustest.Open(t, s), bustest.Client(t, s)
	sub, err := b.Answer(protocol.Scheduler, func(q protocol.Question) (any, *protocol.Error) {
		return map[string]int{"asked": len(q.IDs)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := b.Control.Flush(); err != nil {
		t.Fatal(err)
	}
	ask := func(body string) *nats.Msg {
		t.Helper()
		m, err := nc.Request(b.Subjects.Explain(protocol.Scheduler), []byte(body), bustest.Wait)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for body, want := range map[string]string{
		``:                               `{"asked":0}`,
		`{"ids":["1:2","cat-1"]}`:        `{"asked":2}`,
		`{"ids":`:                        "BAD_MESSAGE",
		`{"ids":[` + many(33) + `]}`:     "INVALID_INPUT",
		strings.Repeat(" ", 4<<10) + "{": "PAYLOAD_TOO_LARGE",
	} {
		if m := ask(body); !strings.Contains(string(m.Data), want) {
			t.Errorf("%.40q: %s, want %s", body, m.Data, want)
		}
	}
	inbox, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for range 1000 {
		if err := nc.PublishRequest(b.Subjects.Explain(protocol.Scheduler), inbox.Subject, []byte(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	for range 1000 {
		m, err := inbox.NextMsg(bustest.Wait)
		if err != nil {
			t.Fatal(err)
		}
		if refusal := wire.DecodeError(m.Data); refusal != nil && refusal.Code == protocol.Overloaded {
			refused++
		}
	}
	if refused == 0 {
		t.Error("1000 questions at once were all answered")
	}
}

func many(n int) string { return strings.TrimSuffix(strings.Repeat(`"1:2",`, n), ",") }
