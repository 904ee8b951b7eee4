package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/protocol"
)

// Headers of a stored request. The broker does not keep a reply subject.
const (
	replyHeader  = "Clockwork-Reply"
	budgetHeader = "Clockwork-Budget-Ns"
)

// BufferConfig bounds the buffer.
type BufferConfig struct {
	// Timeout is how long a request may wait; the stream's own age limit only
	// backs the controller's timers up.
	Timeout time.Duration
	// MaxRequests and MaxBytes are where BUFFER_FULL begins.
	MaxRequests int64
	MaxBytes    int64
}

// Buffer holds infer requests while no scheduler is active. Front doors Store;
// the one controller that leads watches, claims and hands on. Methods may be
// called from any goroutine.
type Buffer struct {
	bus    *Bus
	stream jetstream.Stream
}

// Buffered is a stored request without its body.
type Buffered struct {
	Seq   uint64
	Model string
	Reply string
	// Budget is the SLO that begins when the request is handed on; 0 for the
	// front door's default.
	Budget time.Duration
	// Stored is the broker's time.
	Stored time.Time
}

// OpenBuffer opens the stream, and makes it when it is not there.
func (b *Bus) OpenBuffer(ctx context.Context, c BufferConfig) (*Buffer, error) {
	config := jetstream.StreamConfig{
		Name:        b.bucket("buffer"),
		Description: "Clockwork: infer requests that wait for activation",
		Subjects:    []string{b.Subjects.Buffer(">")},
		Storage:     jetstream.FileStorage,
		Retention:   jetstream.LimitsPolicy,
		Discard:     jetstream.DiscardNew,
		MaxMsgs:     c.MaxRequests,
		MaxBytes:    c.MaxBytes,
		MaxAge:      c.Timeout + 10*time.Second,
		AllowDirect: true,
	}
	for {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		stream, err := b.JS.CreateOrUpdateStream(attempt, config)
		cancel()
		if err == nil {
			return &Buffer{b, stream}, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("open buffer: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// storeWait bounds how long the broker may take to store a request.
const storeWait = 2 * time.Second

// Store stores a request as its client sent it. The request counts as accepted
// once this returned nil; else the error is BUFFER_FULL or STATE_UNAVAILABLE.
func (f *Buffer) Store(ctx context.Context, model, reply string, budget time.Duration, body []byte) *protocol.Error {
	m := nats.NewMsg(f.bus.Subjects.Buffer(model))
	m.Header.Set(replyHeader, reply)
	m.Header.Set(budgetHeader, strconv.FormatInt(int64(budget), 10))
	m.Data = body
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	_, err := f.bus.JS.PublishMsg(ctx, m)
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) && (api.ErrorCode == errStoreFailed || api.Code == 503) {
		return protocol.Errorf(protocol.BufferFull, "the startup buffer is full: %s", api.Description)
	}
	return protocol.Errorf(protocol.StateUnavailable, "the request could not be stored: %v", err)
}

// errStoreFailed is the broker's code for "maximum messages (or bytes)
// exceeded".
const errStoreFailed = 10077

// Watch calls seen, from one goroutine, for each stored request in order: those
// that wait already and each that comes. It returns a function that ends it.
func (f *Buffer) Watch(ctx context.Context, seen func(Buffered)) (stop func(), err error) {
	consumer, err := f.stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverAllPolicy,
		HeadersOnly:   true,
	})
	if err != nil {
		return nil, fmt.Errorf("watch buffer: %w", err)
	}
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		meta, err := m.Metadata()
		if err != nil {
			return
		}
		budget, _ := strconv.ParseInt(m.Headers().Get(budgetHeader), 10, 64) // 0: the default
		seen(Buffered{
			Seq:    meta.Sequence.Stream,
			Model:  f.bus.Subjects.Token(m.Subject(), 1),
			Reply:  m.Headers().Get(replyHeader),
			Budget: time.Duration(budget),
			Stored: meta.Timestamp,
		})
	})
	if err != nil {
		return nil, fmt.Errorf("watch buffer: %w", err)
	}
	return func() {
		consuming.Stop()
		<-consuming.Closed()
	}, nil
}

// Body reads the body of a stored request; nil when it is gone.
func (f *Buffer) Body(ctx context.Context, seq uint64) ([]byte, error) {
	m, err := f.stream.GetMsg(ctx, seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read buffered request %d: %w", seq, err)
	}
	if m.Data == nil {
		return []byte{}, nil
	}
	return m.Data, nil
}

// Claim removes a stored request; who gets true answers it. False: somebody
// else claimed it before.
func (f *Buffer) Claim(ctx context.Context, seq uint64) (bool, error) {
	err := f.stream.DeleteMsg(ctx, seq)
	if err == nil {
		return true, nil
	}
	if errors.Is(err, jetstream.ErrMsgNotFound) || errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) {
		return false, nil
	}
	return false, fmt.Errorf("claim buffered request %d: %w", seq, err)
}

// Len returns how many requests wait.
func (f *Buffer) Len(ctx context.Context) (int, error) {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read buffer: %w", err)
	}
	return int(info.State.Msgs), nil
}
