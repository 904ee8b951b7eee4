package bus

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/protocol"
)

// Doubt logs an epoch or a term that the store has not given.
func (b *Bus) Doubt(what string) {
	b.Notice(slog.LevelWarn, "not believed: an epoch or a term that no leader has been given", "", "what", what)
}

// Credible reports whether the epoch or term that a message names can be one by this host's
// clock, and logs those that cannot. Cores get no others.
func (b *Bus) Credible(m *nats.Msg, term uint64) bool {
	now := time.Now()
	if protocol.CredibleTerm(now, term) {
		return true
	}
	ahead := "more than 1000 h" // than a Duration may hold
	if by := time.UnixMicro(int64(min(term, 1<<62))).Sub(now); by < 1000*time.Hour {
		ahead = by.Round(time.Second).String()
	}
	b.Doubt(fmt.Sprintf("%s names %d, which is %s ahead of this host's clock", m.Subject, term, ahead))
	return false
}

// storedHeaders are what JetStream puts on a stored message that it sends to whoever asked
// for it, on whatever subject that is. No message between services has any of them. (Nats-Subject
// is in the broker's word that nobody subscribes, too.)
var storedHeaders = []string{jetstream.StreamHeader, jetstream.SequenceHeader, jetstream.LastSequenceHeader, "Nats-Num-Pending"}

// fromJetStream reports whether JetStream sent a message, and logs those: somebody asked
// it for stored bytes and named a subject of ours for the answer.
func (b *Bus) fromJetStream(m *nats.Msg) bool {
	if len(m.Header) == 0 || !slices.ContainsFunc(storedHeaders, func(name string) bool { return m.Header[name] != nil }) {
		return false
	}
	b.Notice(slog.LevelWarn, "messages ignored: JetStream sent them", "", "subject", m.Subject)
	return true
}

// MayAnswer reports whether a message may be answered, and logs those whose reply subject
// is not an inbox of one who may ask. Every answer of a service depends on it, but those to
// inference, of which the cores decide by the same rule.
func (b *Bus) MayAnswer(m *nats.Msg) bool {
	switch {
	case m.Reply == "":
		return false // no answer is expected
	case b.Subjects.MayAnswer(m.Subject, m.Reply):
		return true
	}
	b.Notice(slog.LevelWarn, "requests ignored: their reply subject is not an inbox of one who may ask", "", "asked", m.Subject, "reply", m.Reply)
	return false
}

// Respond answers a message, if it may be answered.
func (b *Bus) Respond(m *nats.Msg, body []byte) error {
	return b.RespondMsg(m, &nats.Msg{Data: body})
}

// RespondMsg is Respond with headers.
func (b *Bus) RespondMsg(m, answer *nats.Msg) error {
	if !b.MayAnswer(m) {
		return nil
	}
	return m.RespondMsg(answer)
}
