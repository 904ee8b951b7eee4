package bus

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/wire"
)

// PublishChunks publishes a message in as many chunks as needed.
func (b *Bus) PublishChunks(nc *nats.Conn, subject string, body []byte) error {
	return publishChunks(nc, subject, body, func(last []byte) error { return nc.Publish(subject, last) })
}

// RequestChunks is PublishChunks, and waits for the answer to the last chunk.
func (b *Bus) RequestChunks(ctx context.Context, nc *nats.Conn, subject string, body []byte) (answer *nats.Msg, err error) {
	err = publishChunks(nc, subject, body, func(last []byte) error {
		answer, err = nc.RequestWithContext(ctx, subject, last)
		return err
	})
	return answer, err
}

// PublishResults publishes a worker's batch of results, in chunks if it is larger than a
// message.
func (b *Bus) PublishResults(nc *nats.Conn, worker string, issuer uint64, body []byte) error {
	subject := b.Subjects.Result(worker)
	if int64(len(body)) <= nc.MaxPayload() {
		return nc.Publish(subject, body)
	}
	messages, err := wire.SplitResults(issuer, RandomID(), body, nc.MaxPayload())
	if err != nil {
		return fmt.Errorf("send results: %w", err)
	}
	for i, m := range messages {
		if err := nc.Publish(subject, m); err != nil {
			return fmt.Errorf("send chunk %d of %d of results: %w", i+1, len(messages), err)
		}
	}
	return nil
}

// publishChunks publishes all chunks but the last, which it passes to finish.
func publishChunks(nc *nats.Conn, subject string, body []byte, finish func(last []byte) error) error {
	messages, err := wire.SplitChunks(RandomID(), body, nc.MaxPayload())
	if err != nil {
		return fmt.Errorf("send to %s: %w", subject, err)
	}
	for i, m := range messages {
		send := func(chunk []byte) error { return nc.Publish(subject, chunk) }
		if i == len(messages)-1 {
			send = finish
		}
		if err := send(m); err != nil {
			return fmt.Errorf("send chunk %d of %d to %s: %w", i+1, len(messages), subject, err)
		}
	}
	return nil
}
