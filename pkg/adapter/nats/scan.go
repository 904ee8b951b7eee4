package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Streams are read by batches of direct reads, which say themselves where to go on. A
// consumer would do it without asking again, but its creation names any subject for the
// delivery, which the broker does not check: whoever may create one can have stored bytes
// delivered as anybody's word. So nobody has that right.

// record is a message of a stream.
type record struct {
	seq     uint64
	stored  time.Time // the broker's time
	subject string
	header  nats.Header
	data    []byte
}

// These bound one batch: messages, and bytes that are sent after the first message.
const (
	scanBatch = 2048
	scanBytes = 4 << 20
)

// scanWait bounds how long one batch, or one message, may take: a whole stream may take any
// time, as long as it goes on.
const scanWait = 5 * time.Second

// scan calls visit for each message of a stream after a sequence number whose subject
// matches the filter, in order, and returns the number after which to go on. It returns
// once there are no more, or a batch had room left: then it came to the end of the stream,
// and what was written since is for the next scan. A writer who writes all the time keeps
// nobody from the end.
func (s store) scan(ctx context.Context, stream, filter string, after uint64, visit func(record)) (uint64, error) {
	inbox := s.nc.NewInbox()
	sub, err := s.nc.SubscribeSync(inbox)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1) // a batch is bounded
	}
	if err != nil {
		return after, fmt.Errorf("read %s: %w", stream, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // the subscription ends with the connection at the latest
	for more := true; more; {
		body, err := json.Marshal(map[string]any{"seq": after + 1, "next_by_subj": filter, "batch": scanBatch, "max_bytes": scanBytes})
		if err == nil {
			err = s.nc.PublishRequest(s.api+"DIRECT.GET."+stream, inbox, body)
		}
		if err == nil {
			more, err = takeBatch(ctx, sub, &after, visit)
		}
		if err != nil {
			return after, fmt.Errorf("read %s: %w", stream, err)
		}
	}
	return after, nil
}

// takeBatch takes the messages of one batch, and reports whether the stream has more: not
// where the batch had room left.
func takeBatch(ctx context.Context, sub *nats.Subscription, after *uint64, visit func(record)) (more bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	for messages, bytes := 0, 0; ; {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return false, err
		}
		messages, bytes = messages+1, bytes+m.Size() // the last message ends the batch
		if end, more, err := take(m, after, visit); end || err != nil {
			return more && (messages > scanBatch || bytes >= scanBytes), err
		}
	}
}

// last returns the last message of a subject in a stream, false if there is none.
func (s store) last(ctx context.Context, stream, subject string) (record, bool, error) {
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	m, err := s.nc.RequestWithContext(ctx, s.api+"DIRECT.GET."+stream+"."+subject, nil)
	if err != nil {
		return record{}, false, err
	}
	var found record
	end, _, err := take(m, new(uint64), func(r record) { found = r })
	return found, !end, err
}

// take handles one message of the answer to a read: end is set with the last one, more if
// the stream had more messages by then. What the broker adds to the headers of a stored
// message comes behind what its publisher may have put there under the same names.
func take(m *nats.Msg, after *uint64, visit func(record)) (end, more bool, err error) {
	added := func(name string) string {
		if values := m.Header[name]; len(values) > 0 {
			return values[len(values)-1]
		}
		return ""
	}
	if number := added(jetstream.SequenceHeader); number != "" {
		r := record{subject: added(jetstream.SubjectHeader), header: m.Header, data: m.Data}
		var wrong [2]error
		r.seq, wrong[0] = strconv.ParseUint(number, 10, 64)
		r.stored, wrong[1] = time.Parse(time.RFC3339Nano, added(jetstream.TimeStampHeaer))
		if err := errors.Join(wrong[:]...); err != nil {
			return true, false, err
		}
		if r.seq > *after {
			*after = r.seq
			visit(r)
		}
		return false, true, nil
	}
	switch status := m.Header.Get("Status"); status {
	case "204": // the end of a batch that had messages
		return true, added("Nats-Num-Pending") != "0", nil
	case "404": // no messages
		return true, false, nil
	case "503":
		return true, false, nats.ErrNoResponders
	default:
		return true, false, fmt.Errorf("the broker answers %q %s", status, m.Header.Get("Description"))
	}
}
