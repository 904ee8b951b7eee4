package integration

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// waiting are the requests of a client that wait for activation, with what it saw of each.
type waiting struct {
	mu sync.Mutex
	// sent is when each was sent, stored the first time at which it was known to be stored:
	// it was accepted in between.
	sent, stored []time.Time
	replies      [][]reply
	// delay is the longest time that a message of the client's to itself took meanwhile: so
	// slow the broker and this process were.
	delay time.Duration
}

type reply struct {
	at                    time.Time
	code                  protocol.Code
	bufferedMS, latencyUS float64
}

func (w *waiting) onReply(m *nats.Msg) {
	now := time.Now()
	last := m.Subject[strings.LastIndexByte(m.Subject, '.')+1:]
	w.mu.Lock()
	defer w.mu.Unlock()
	if last == "self" {
		at, _ := strconv.ParseInt(string(m.Data), 10, 64)
		w.delay = max(w.delay, now.Sub(time.Unix(0, at)))
		return
	}
	i, _ := strconv.Atoi(last)
	r := reply{at: now, code: protocol.OK}
	if fault := wire.DecodeError(m.Data); fault != nil {
		r.code, r.bufferedMS = fault.Code, fault.BufferedMS
	} else {
		var answer struct {
			Parameters struct {
				LatencyUS  float64 `msgpack:"latency_us"`
				BufferedMS float64 `msgpack:"buffered_ms"`
			} `msgpack:"parameters"`
		}
		_ = msgpack.Unmarshal(m.Data, &answer)
		r.latencyUS, r.bufferedMS = answer.Parameters.LatencyUS, answer.Parameters.BufferedMS
	}
	w.replies[i] = append(w.replies[i], r)
}

// awaitStored waits until the broker has stored so many requests.
func (w *waiting) awaitStored(t *testing.T, s *stack, n int) {
	t.Helper()
	stream, err := s.jetStream().Stream(t.Context(), "clockwork_buffer")
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if err != nil || time.Now().After(end) {
			t.Fatalf("fewer than %d requests are stored: %v", n, err)
		}
		var info *jetstream.StreamInfo
		if info, err = stream.Info(t.Context()); err == nil && info.State.Msgs >= uint64(n) {
			break
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.stored) < n {
		w.stored = append(w.stored, time.Now())
	}
}

func (s *stack) jetStream() jetstream.JetStream {
	s.t.Helper()
	js, err := jetstream.New(s.client.Conn())
	if err != nil {
		s.t.Fatal(err)
	}
	return js
}

// answered counts the requests with a reply.
func (w *waiting) answered() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.replies {
		if len(r) > 0 {
			n++
		}
	}
	return n
}

// TestG2WhatWaitedIsInTimeWhenItIsSent has 16,000 requests wait for activation, more than can
// be served within their SLO from then on. Each gets one answer; OK is what its client has in
// time, counted from the hand-over; and the times in the answer are what the client measured.
// How late a reply may be seen is measured with it, by messages of the client's to itself.
func TestG2WhatWaitedIsInTimeWhenItIsSent(t *testing.T) {
	const (
		requests = 16000
		wave     = 200
		slo      = 100 * time.Millisecond
	)
	config := quick()
	config.controller.BufferTimeout = 2 * patience
	s := startBroker(t, config)
	s.startController()
	s.startWorker("w1")
	s.awaitStage(protocol.AwaitingModels)
	s.load("zoo/resnet18_v2", 1)
	s.awaitStage(protocol.Profiling) // it stays there: there is no profiler

	nc := s.plain()
	w := &waiting{}
	inbox := nc.NewInbox()
	sub, err := nc.Subscribe(inbox+".*", w.onReply)
	if err != nil {
		t.Fatal(err)
	}
	_ = sub.SetPendingLimits(-1, -1)
	ms := float64(slo) / float64(time.Millisecond)
	body := wire.EncodeInfer(&protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &ms}})
	for i := range requests {
		w.mu.Lock()
		w.sent, w.replies = append(w.sent, time.Now()), append(w.replies, nil)
		w.mu.Unlock()
		if err := nc.PublishRequest("clockwork.infer.resnet18_v2", fmt.Sprintf("%s.%d", inbox, i), body); err != nil {
			t.Fatal(err)
		}
		if i%wave == wave-1 {
			w.awaitStored(t, s, i+1)
		}
	}
	stop := make(chan struct{})
	var pings sync.WaitGroup
	pings.Go(func() {
		for every := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-stop:
				return
			case <-every.C:
				_ = nc.Publish(inbox+".self", []byte(strconv.FormatInt(time.Now().UnixNano(), 10)))
			}
		}
	})
	s.startProfiler()
	s.startScheduler()
	for end := time.Now().Add(3 * patience); w.answered() < requests; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d are answered", w.answered(), requests)
		}
	}
	close(stop)
	pings.Wait()
	w.check(t, slo)
}

func (w *waiting) check(t *testing.T, slo time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	codes, late, latest, wrong := map[protocol.Code]int{}, 0, time.Duration(0), 0
	tolerance := 20*time.Millisecond + w.delay
	for i, replies := range w.replies {
		if len(replies) != 1 {
			t.Errorf("request %d has %d answers", i, len(replies))
		}
		r := replies[0]
		codes[r.code]++
		if r.code != protocol.OK {
			continue
		}
		most, least := r.at.Sub(w.sent[i]), r.at.Sub(w.stored[i])
		over := least - time.Duration(r.bufferedMS*1e6) - slo
		if latest = max(latest, over); over > tolerance {
			late++
		}
		told := time.Duration((r.bufferedMS*1000 + r.latencyUS) * 1000)
		if told > most+tolerance || told < least-tolerance || r.latencyUS > float64(slo.Microseconds()) {
			wrong++
		}
	}
	t.Logf("answered %v; the latest OK is %v after its deadline, messages took up to %v", codes, latest, w.delay)
	if late > 0 || wrong > 0 {
		t.Errorf("%d of %d OK are late, %d have other times than their clients measured", late, codes[protocol.OK], wrong)
	}
	if codes[protocol.OK] == 0 {
		t.Error("none is served: this proves little")
	}
}
