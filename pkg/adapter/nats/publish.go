package bus

import (
	"errors"
	"strconv"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// Publish sends a message encoded in a pooled buffer.
func Publish[T any](nc *nats.Conn, codec wire.Codec[T], subject string, v *T) error {
	body := wire.Borrow()
	defer wire.GiveBack(body)
	*body = codec.Append(*body, v)
	return nc.Publish(subject, *body)
}

// PublishCut is Publish for what may be larger than a message: halve cuts it into two, which
// are sent one after the other, or returns false if it cannot.
func PublishCut[T any](nc *nats.Conn, codec wire.Codec[T], subject string, v *T, halve func(T) (first, second T, cut bool)) error {
	body := wire.Borrow()
	defer wire.GiveBack(body)
	*body = codec.Append(*body, v)
	if int64(len(*body)) > nc.MaxPayload() {
		if first, second, cut := halve(*v); cut {
			return errors.Join(PublishCut(nc, codec, subject, &first, halve), PublishCut(nc, codec, subject, &second, halve))
		}
	}
	return nc.Publish(subject, *body)
}

// Halves cuts a list for PublishCut.
func Halves[T any](list []T) (first, second []T, cut bool) {
	n := len(list) / 2
	return list[:n], list[n:], n > 0
}

// HalfBatches cuts a batch of submissions for PublishCut, its claims before its requests.
func HalfBatches(b protocol.SubmissionBatch) (first, second protocol.SubmissionBatch, cut bool) {
	first, second = b, b
	first.Requests, first.Withdrawn, second.Answered = nil, nil, nil
	if len(b.Answered) > 0 && len(b.Requests)+len(b.Withdrawn) > 0 {
		return first, second, true
	}
	var claims, requests, withdrawals bool
	first.Answered, second.Answered, claims = Halves(b.Answered)
	first.Requests, second.Requests, requests = Halves(b.Requests)
	first.Withdrawn, second.Withdrawn, withdrawals = Halves(b.Withdrawn)
	return first, second, claims || requests || withdrawals
}

// ErrorReply returns the reply that carries an error: body and headers.
func ErrorReply(encoding protocol.Encoding, subject string, refusal *protocol.Error) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data, refusal = wire.EncodeError(encoding, refusal)
	m.Header.Set(protocol.ErrorCodeHeader, strconv.Itoa(refusal.Code.Row().Number))
	m.Header.Set(protocol.ErrorHeader, refusal.Error())
	return m
}
