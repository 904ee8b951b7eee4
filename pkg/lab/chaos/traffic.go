package chaos

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Load is an open loop: requests leave when they are due, whatever became of
// those before.
type Load struct {
	Models []string
	Rate   float64 // of all together, in requests a second
	SLO    time.Duration
}

// Outcome is what became of one request. Times are since the traffic began.
type Outcome struct {
	At       time.Duration // when it was due
	Unsent   bool          // the broker could not be reached
	Answered time.Duration // of the first reply, 0 for none
	Code     protocol.Code
	Replies  int
}

// Traffic is an open loop under way, of a NATS client that knows nothing of
// Clockwork but the format of its messages.
type Traffic struct {
	Began time.Time

	load     Load
	nc       *nats.Conn
	inbox    string
	body     []byte
	stopIt   chan struct{}
	work     sync.WaitGroup
	mu       sync.Mutex
	outcomes []Outcome
}

// StartTraffic begins to send, with what a broker with roles asks of a client
// among the options.
func StartTraffic(url string, load Load, options ...nats.Option) (*Traffic, error) {
	options = append([]nats.Option{nats.Name("clockwork chaos"), nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.ReconnectBufSize(-1)}, options...)
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", bus.Redacted(url), err)
	}
	slo := float64(load.SLO) / float64(time.Millisecond)
	t := &Traffic{
		load: load, nc: nc, inbox: nc.NewInbox(), stopIt: make(chan struct{}), Began: time.Now(),
		body: wire.EncodeInfer(&protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &slo}}),
	}
	if _, err := nc.Subscribe(t.inbox+".*", t.onReply); err != nil {
		nc.Close()
		return nil, fmt.Errorf("subscribe to replies: %w", err)
	}
	t.work.Go(t.send)
	return t, nil
}

func (t *Traffic) send() {
	subjects := protocol.Subjects{Prefix: protocol.DefaultPrefix}
	for i := 0; ; i++ {
		due := time.Duration(float64(i) / t.load.Rate * float64(time.Second))
		select {
		case <-t.stopIt:
			return
		case <-time.After(time.Until(t.Began.Add(due))):
		}
		t.mu.Lock()
		t.outcomes = append(t.outcomes, Outcome{At: due})
		t.mu.Unlock()
		model := t.load.Models[i%len(t.load.Models)]
		if t.nc.PublishRequest(subjects.Infer(model), t.inbox+"."+strconv.Itoa(i), t.body) != nil {
			t.mu.Lock()
			t.outcomes[i].Unsent = true
			t.mu.Unlock()
		}
	}
}

func (t *Traffic) onReply(m *nats.Msg) {
	i, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	now := time.Since(t.Began)
	code := codeOf(m)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil || i < 0 || i >= len(t.outcomes) {
		return
	}
	o := &t.outcomes[i]
	if o.Replies++; o.Replies == 1 {
		o.Answered, o.Code = now, code
	}
}

// codeOf is what a reply says. A broker that knows nobody who listens answers
// without a body.
func codeOf(m *nats.Msg) protocol.Code {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return protocol.StateUnavailable
	}
	if fault := wire.DecodeError(m.Data); fault != nil {
		return fault.Code
	}
	return protocol.OK
}

// OK is how many requests were served so far.
func (t *Traffic) OK() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.outcomes {
		if o.Replies > 0 && o.Code == protocol.OK {
			n++
		}
	}
	return n
}

// Stop ends the sending, waits for answers until the last deadline and patience
// more, and returns what became of every request.
func (t *Traffic) Stop(patience time.Duration) []Outcome {
	close(t.stopIt)
	t.work.Wait()
	for end := time.Now().Add(t.load.SLO + patience); time.Now().Before(end) && t.open(); {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(settling) // a second reply to the last one would come now
	t.nc.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outcomes
}

// settling is how long second replies are waited for.
const settling = 200 * time.Millisecond

// open: answers are outstanding.
func (t *Traffic) open() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, o := range t.outcomes {
		if o.Replies == 0 && !o.Unsent {
			return true
		}
	}
	return false
}
