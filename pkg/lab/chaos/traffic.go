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

// Load describes an open loop: requests are sent when due, regardless of earlier
// ones.
type Load struct {
	Models []string
	// Client is the client's name, "" for none.
	Client string
	Rate   float64 // of all models together, in requests per second
	SLO    time.Duration
}

// Outcome is the outcome of one request. Times are since the start of the
// traffic.
type Outcome struct {
	At       time.Duration // when it was due
	Unsent   bool          // the broker could not be reached
	Answered time.Duration // time of the first reply, 0 for none
	Code     protocol.Code
	Replies  int
}

// Traffic is a running open loop of a NATS client that implements only the
// message format.
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

// StartTraffic starts sending. The options hold the credentials that a broker
// with roles requires.
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
		if t.nc.PublishRequest(subjects.InferBy(model, t.load.Client), t.inbox+"."+strconv.Itoa(i), t.body) != nil {
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

// codeOf returns the code of a reply. If no subscriber exists, the broker
// answers without a body.
func codeOf(m *nats.Msg) protocol.Code {
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		return protocol.StateUnavailable
	}
	if fault := wire.DecodeError(m.Data); fault != nil {
		return fault.Code
	}
	return protocol.OK
}

// OK returns how many requests have been served so far.
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

// Stop stops sending, waits for replies until the last deadline plus patience,
// and returns the outcome of every request.
func (t *Traffic) Stop(patience time.Duration) []Outcome {
	close(t.stopIt)
	t.work.Wait()
	for end := time.Now().Add(t.load.SLO + patience); time.Now().Before(end) && t.open(); {
		time.Sleep(20 * time.Millisecond)
	}
	time.Sleep(settling) // a second reply to the last request would arrive now
	t.nc.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.outcomes
}

// settling is how long Stop waits for duplicate replies.
const settling = 200 * time.Millisecond

// open reports whether replies are outstanding.
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
