package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Headers of a stored request. The broker does not keep a reply subject.
const (
	replyHeader  = "Clockwork-Reply"
	budgetHeader = "Clockwork-Budget-Ns"
	jsonHeader   = "Clockwork-Json" // present if the body is JSON

	// TraceHeader is present if the client records a trace of the request.
	TraceHeader = "traceparent"
)

// storedHead bounds the headers of a stored request, in bytes, without the reply
// subject.
const storedHead = 256

// BufferConfig bounds the buffer.
type BufferConfig struct {
	// Timeout is how long a request may wait; the stream's own age limit is only a
	// backup for the controller's timers.
	Timeout time.Duration
	// MaxRequests and MaxBytes are the limits beyond which Store returns BUFFER_FULL.
	MaxRequests int64
	MaxBytes    int64
}

// Buffer holds infer requests while no scheduler is active. Front doors call Store; the
// leading controller watches, claims and forwards the requests. Methods may be called
// from any goroutine.
type Buffer struct {
	bus     *Bus
	store   store // on a connection for payloads
	stream  jetstream.Stream
	timeout time.Duration
}

// Buffered is a stored request without its body.
type Buffered struct {
	Seq   uint64
	Model string
	Reply string
	// Budget is the SLO that begins when the request is forwarded; 0 for the front
	// door's default.
	Budget time.Duration
	// Encoding is that of the body.
	Encoding protocol.Encoding
	// Stored is the broker's time.
	Stored time.Time
	// Bytes are those of the body.
	Bytes int
	// Traceparent is the client's span, "" if no trace is recorded.
	Traceparent string
}

// OpenBuffer opens the stream, and creates it if it does not exist, unless the bus is
// Bound.
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
	store, err := b.bufferStore(ctx)
	if err != nil {
		return nil, fmt.Errorf("open buffer: %w", err)
	}
	for tried := 0; ; tried++ {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		config.Replicas = b.copies()
		stream, err := b.bufferStream(attempt, store.js, config)
		cancel()
		switch {
		case err == nil:
			if config.MaxBytes < c.MaxBytes {
				b.Log.Warn("the startup buffer holds less than it should: the broker's disk has no room for more",
					"bytes", config.MaxBytes, "wanted", c.MaxBytes)
			}
			return &Buffer{b, store, stream, c.Timeout}, nil
		case errors.Is(err, errShortBuffer):
			return nil, fmt.Errorf("open buffer: %w", err)
		case isNoRoom(err):
			if config.MaxBytes = config.MaxBytes / 2; config.MaxBytes >= minBuffer {
				continue
			}
			config.MaxBytes = c.MaxBytes // until there is room
		}
		b.notReady(tried, config.Name, err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("open buffer: %w", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// minBuffer is the smallest startup buffer, in bytes: some requests of the largest size.
const minBuffer = 32 << 20

// isNoRoom reports whether the broker refused a stream because its limit is beyond what
// is left of the disk, or a write because the disk is full.
func isNoRoom(err error) bool { return hasCode(err, errNoStorage, errNoResources) }

// isFull reports whether the broker refused a write because a stream has reached its limit, or
// the disk is full.
func isFull(err error) bool { return hasCode(err, errStoreFailed, errNoResources) }

// explained says of an error that the disk is full, where the broker's own text does not.
func explained(err error) error {
	if isNoRoom(err) {
		return fmt.Errorf("the broker's disk has no room: %w", err)
	}
	return err
}

// errNoStorage is the broker's code for "insufficient storage resources available".
const errNoStorage = 10047

// bufferStore returns the connection for the startup buffer: opened once, since a buffer is
// opened again where its stream was lost.
func (b *Bus) bufferStore(ctx context.Context) (store, error) {
	b.opening.Lock()
	defer b.opening.Unlock()
	if b.buffer.js != nil {
		return b.buffer, nil
	}
	var err error
	b.buffer, err = b.openStore(ctx, "store payload", b.Payload, jetstream.WithPublishAsyncTimeout(storeWait), jetstream.WithPublishAsyncMaxPending(MaxStoring+1))
	return b.buffer, err
}

// storeWait bounds how long the broker may take to store a request before Store tries
// again.
const storeWait = 2 * time.Second

// MaxStoring is how many requests a front door may be storing at a time.
const MaxStoring = 4096

// Store sends a request to the buffer, as its client sent it, and returns a function
// that waits until the broker has stored it: then the request counts as accepted.
// Requests are stored in the order of the calls of Store. The error is BUFFER_FULL,
// PAYLOAD_TOO_LARGE or STATE_UNAVAILABLE.
//
// Without an acknowledgement it is unknown whether the request was stored: it is sent
// again under the same id, which the broker stores only once, until Timeout is over.
func (f *Buffer) Store(model, reply string, budget time.Duration, body []byte, traceparent string) (stored func(context.Context) *protocol.Error) {
	if limit := f.bus.Payload.MaxPayload() - storedHead - int64(len(reply)); int64(len(body)) > limit {
		fault := protocol.Errorf(protocol.PayloadTooLarge, "a request that waits for activation may have %d bytes, got %d", limit, len(body))
		fault.Got, fault.Limit = int64(len(body)), limit
		return func(context.Context) *protocol.Error { return fault }
	}
	m := nats.NewMsg(f.bus.Subjects.Buffer(model))
	m.Header.Set(replyHeader, reply)
	m.Header.Set(budgetHeader, strconv.FormatInt(int64(budget), 10))
	m.Header.Set(jetstream.MsgIDHeader, strconv.FormatUint(RandomID(), 36))
	if wire.EncodingOf(body) == protocol.JSON {
		m.Header.Set(jsonHeader, "1")
	}
	if traceparent != "" {
		m.Header[TraceHeader] = []string{traceparent}
	}
	m.Data = body
	future, err := f.store.js.PublishMsgAsync(m)
	return func(ctx context.Context) *protocol.Error {
		ctx, cancel := context.WithTimeout(ctx, f.timeout)
		defer cancel()
		if err == nil {
			select {
			case <-future.Ok():
				return nil
			case err = <-future.Err():
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		return f.insist(ctx, m, err)
	}
}

// insist sends a request again until the broker reports the outcome.
func (f *Buffer) insist(ctx context.Context, m *nats.Msg, err error) *protocol.Error {
	for {
		switch {
		case err == nil:
			return nil
		case isFull(err):
			api, _ := errors.AsType[*jetstream.APIError](err)
			return protocol.Errorf(protocol.BufferFull, "the startup buffer is full: %s", api.Description)
		}
		select {
		case <-ctx.Done():
			return protocol.Errorf(protocol.StateUnavailable, "the request could not be stored: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
		attempt, cancel := context.WithTimeout(ctx, storeWait)
		_, err = f.store.js.PublishMsg(attempt, m)
		cancel()
	}
}

// The broker's codes for "maximum messages (or bytes) exceeded" and for a full store.
const (
	errStoreFailed = 10077
	errNoResources = 10023
)

// Watch calls seen, from one goroutine, for each stored request in order: first the
// existing ones, then each new one. The returned function ends the watch and waits for it.
func (f *Buffer) Watch(ctx context.Context, seen func(Buffered)) (stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	after, err := f.look(ctx, 0, seen)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("watch buffer: %w", err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for clock.Pause(ctx, lookEvery) {
			next, failed := f.look(ctx, after, seen)
			if failed != nil && ctx.Err() == nil {
				f.bus.Log.Debug("startup buffer not read", "error", failed) // read again
			}
			after = next
		}
	}()
	return func() {
		cancel()
		<-done
	}, nil
}

// look calls seen for each request stored after a sequence number.
func (f *Buffer) look(ctx context.Context, after uint64, seen func(Buffered)) (uint64, error) {
	return f.store.scan(ctx, f.stream.CachedInfo().Config.Name, f.bus.Subjects.Buffer(">"), after, func(r record) {
		budget, _ := strconv.ParseInt(r.header.Get(budgetHeader), 10, 64) // 0: the default
		encoding := protocol.Msgpack
		if r.header.Get(jsonHeader) != "" {
			encoding = protocol.JSON
		}
		seen(Buffered{
			Seq:      r.seq,
			Model:    f.bus.Subjects.Token(r.subject, 1),
			Reply:    r.header.Get(replyHeader),
			Budget:   time.Duration(budget),
			Encoding: encoding,
			Stored:   r.stored,
			Bytes:    len(r.data),

			Traceparent: r.header.Get(TraceHeader),
		})
	})
}

// Body reads the body of a request that was stored at that time; nil if the request is
// gone. After the stream was created anew, another request may have its sequence number.
func (f *Buffer) Body(ctx context.Context, seq uint64, stored time.Time) ([]byte, error) {
	m, err := f.stream.GetMsg(ctx, seq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read buffered request %d: %w", seq, err)
	case !m.Time.Equal(stored):
		return nil, nil
	case m.Data == nil:
		return []byte{}, nil
	}
	return m.Data, nil
}

// Claim removes a stored request; the caller that gets true must answer it. False:
// another caller has claimed it.
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

// Created returns when the stream was created: a different time means a different
// stream, whose sequence numbers begin again. The error is jetstream.ErrStreamNotFound
// if there is none.
func (f *Buffer) Created(ctx context.Context) (time.Time, error) {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return time.Time{}, fmt.Errorf("read buffer: %w", err)
	}
	return info.Created, nil
}

// Len returns how many requests are stored.
func (f *Buffer) Len(ctx context.Context) (int, error) {
	info, err := f.stream.Info(ctx)
	if err != nil {
		return 0, fmt.Errorf("read buffer: %w", err)
	}
	return int(info.State.Msgs), nil
}
