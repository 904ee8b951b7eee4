package bus

import (
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// maxQuestion bounds the body of a question, in bytes.
const maxQuestion = 4 << 10

// Answer answers the queries of clockwork explain to a kind of service: answer is called
// from one goroutine. More than questionsPerSecond are refused, since each takes a lock
// that serving needs.
func (b *Bus) Answer(kind protocol.ServiceKind, answer func(protocol.Question) (any, *protocol.Error)) (*nats.Subscription, error) {
	var second time.Time
	asked := 0
	return b.Subscribe(b.Control, b.Subjects.Explain(kind), func(m *nats.Msg) {
		if !b.MayAnswer(m) {
			return
		}
		if now := time.Now(); now.Sub(second) >= time.Second {
			second, asked = now, 0
		}
		asked++
		reply, fault := any(nil), protocol.Errorf(protocol.Overloaded, "more than %d explain requests a second", questionsPerSecond)
		if asked <= questionsPerSecond {
			reply, fault = answered(m.Data, answer)
		}
		out := &nats.Msg{}
		if fault != nil {
			out = ErrorReply(protocol.JSON, m.Reply, fault)
		} else {
			out.Data = wire.EncodeBody(protocol.JSON, reply)
		}
		if err := b.RespondMsg(m, out); err != nil {
			b.Log.Debug("question not answered", "error", err) // the client will ask again
		}
	})
}

const questionsPerSecond = 50

func answered(body []byte, answer func(protocol.Question) (any, *protocol.Error)) (any, *protocol.Error) {
	if len(body) > maxQuestion {
		return nil, protocol.Errorf(protocol.PayloadTooLarge, "an explain request may have %d bytes, got %d", maxQuestion, len(body))
	}
	var q protocol.Question
	if fault := wire.DecodeBody(body, &q); fault != nil {
		return nil, fault
	}
	if len(q.IDs) > protocol.MaxQuestionIDs {
		return nil, protocol.Errorf(protocol.InvalidInput, "an explain request names at most %d requests, got %d", protocol.MaxQuestionIDs, len(q.IDs))
	}
	return answer(q)
}
