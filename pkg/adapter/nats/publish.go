package bus

import (
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

// ErrorReply returns the reply that carries an error: body and headers.
func ErrorReply(encoding protocol.Encoding, subject string, e *protocol.Error) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data, e = wire.EncodeError(encoding, e)
	m.Header.Set(protocol.ErrorCodeHeader, strconv.Itoa(e.Code.Row().Number))
	m.Header.Set(protocol.ErrorHeader, e.Error())
	return m
}
