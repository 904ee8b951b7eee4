package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

var (
	// ErrConflict: the stage is not the one that the caller read. Read again and decide
	// again.
	ErrConflict = errors.New("the stage was changed by somebody else")
	// ErrFenced: another process has taken the lease and writes the state since. Nothing
	// that this one writes will be stored.
	ErrFenced = errors.New("another process leads now")
	// ErrNoFence: the state was lost, and this process's fence with it. Raise sets it up
	// again.
	ErrNoFence = errors.New("the state store was lost")
)

// Writer writes ClockworkState for the holder of a lease. The holder may stand still for
// any time, or its messages may be held on their way, while another process takes the lease
// and goes on from what is stored. None of its writes may arrive afterwards. Therefore each
// holder first stores a fence, a key of its service, and every write is one compare-and-swap
// against two numbers that the broker checks: the revision of that fence, and the last
// sequence number of the whole bucket. The first refuses writes of former holders, the
// second a write of the holder's own that was given up and comes late.
//
// Methods may be called from any goroutine; writes are done one after the other.
type Writer struct {
	*State
	lease *Lease
	key   string
	fence wire.StoredFence

	mu       sync.Mutex
	revision uint64 // of the fence; 0 until it is stored
	last     uint64 // the last sequence number of the bucket; 0 if it has to be read
	// quarantined are the models that may have an entry.
	quarantined []string
}

// Lead stores the fence of a lease's holder and returns what writes the state from then on.
// The error is ErrFenced if another process has taken the lease.
func (s *State) Lead(ctx context.Context, service protocol.ServiceKind, lease *Lease) (*Writer, error) {
	w := &Writer{State: s, lease: lease, key: "fence." + string(service)}
	w.fence.Holder = valueOf(lease.holder).Host
	return w, w.Raise(ctx)
}

// Term is the number of this holder, a scheduler's epoch: those of later holders are higher
// (protocol.NextTerm).
func (w *Writer) Term() uint64 { return w.fence.Term }

// casAttempts bounds how often a write is repeated after a conflict, and conflictPause is the
// pause before the first repetition, which grows: two services that write many keys at once
// would else take each other's numbers.
const (
	casAttempts   = 20
	conflictPause = time.Millisecond
)

// Raise stores the fence, at first and after the state was lost. The error is ErrFenced if
// another process leads or has led since.
//
// The lease is confirmed after the fence was read. Who takes the lease later reads the fence
// later still, so of two processes that raise their fences at the same time one fails and
// reads again, and the fence that stays is that of the last holder.
func (w *Writer) Raise(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	for range casAttempts {
		if err = w.raise(ctx); !isConflict(err) {
			return err
		}
	}
	return err
}

func (w *Writer) raise(ctx context.Context) error {
	stored, revision, err := w.readFence(ctx)
	if err != nil {
		return err
	}
	if w.fence.Term != 0 && revision != 0 && stored.Term != w.fence.Term {
		return ErrFenced
	}
	if err := w.lease.Confirm(ctx); errors.Is(err, ErrHeld) {
		return ErrFenced
	} else if err != nil {
		return err
	}
	fence := w.fence
	if fence.Term == 0 {
		fence.Since = time.Now().UTC()
		fence.Term = protocol.NextTerm(fence.Since, stored.Term)
	}
	return w.storeFence(ctx, fence, revision)
}

// storeFence writes a fence over the one of a revision.
func (w *Writer) storeFence(ctx context.Context, fence wire.StoredFence, over uint64) error {
	body, err := json.Marshal(fence)
	if err != nil {
		return fmt.Errorf("write %s: %w", w.key, err)
	}
	ack, err := w.bus.JS.PublishMsg(ctx, &nats.Msg{Subject: w.bus.store.local + w.subject(w.key), Data: body}, jetstream.WithExpectLastSequencePerSubject(over))
	if err != nil {
		w.last = 0
		return fmt.Errorf("write %s: %w", w.key, err)
	}
	w.fence, w.revision, w.last = fence, ack.Sequence, ack.Sequence
	return nil
}

// readFence returns the stored fence of the service; its revision is 0 if there is none.
func (w *Writer) readFence(ctx context.Context) (v wire.StoredFence, revision uint64, err error) {
	r, found, err := w.get(ctx, w.key)
	if err != nil || !found {
		return v, 0, wrapped("read "+w.key, err)
	}
	if decodeStored(r.data, &v) != nil {
		return wire.StoredFence{}, r.seq, nil // it is written over
	}
	return v, r.seq, nil
}

// Confirm returns nil if this process leads, ErrFenced if another one does, and ErrNoFence
// if the state was lost. It writes the fence again: what one reads may be old.
func (w *Writer) Confirm(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var err error
	for range casAttempts {
		if err = w.storeFence(ctx, w.fence, w.revision); !isConflict(err) {
			return err
		}
		if lost := w.check(ctx); lost != nil {
			return lost
		}
	}
	return err
}

// check reads whether the stored fence is this process's, and its revision: the outcome of
// the last Confirm may be unknown. The caller holds the lock.
func (w *Writer) check(ctx context.Context) error {
	stored, revision, err := w.readFence(ctx)
	switch {
	case err != nil:
		return err
	case revision == 0:
		return ErrNoFence
	case stored.Term != w.fence.Term:
		return ErrFenced
	}
	w.revision = revision
	return nil
}

// Missing reports whether the state was lost, and with it what this process wrote. If it
// was not, revision is that of the stage, which perhaps cannot be read.
func (w *Writer) Missing(ctx context.Context) (missing bool, revision uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.check(ctx); errors.Is(err, ErrNoFence) {
		return true, 0, nil
	} else if err != nil {
		return false, 0, err
	}
	stage, _, revision, err := w.Stage(ctx)
	if errors.Is(err, ErrUnreadable) {
		return false, revision, nil
	}
	return stage == 0, revision, err
}

// recallEvery is the pause before a state that is too old is read again, recallWait how long
// that is tried.
const (
	recallEvery = 50 * time.Millisecond
	recallWait  = 10 * time.Second
)

// Recall reads all that was stored before the fence. From then on only this process writes.
func (w *Writer) Recall(ctx context.Context) (read Stored, err error) {
	err = w.caughtUp(ctx, func() (at uint64, err error) {
		read, err = w.Read(ctx)
		return read.Upto, err
	})
	w.mu.Lock()
	defer w.mu.Unlock()
	w.quarantined = slices.Collect(maps.Keys(read.Quarantined))
	return read, err
}

// caughtUp reads again until what was read is not older than the fence.
func (w *Writer) caughtUp(ctx context.Context, read func() (uint64, error)) error {
	w.mu.Lock()
	fence := w.revision
	w.mu.Unlock()
	at, err := read()
	for end := time.Now().Add(recallWait); err == nil && at < fence; at, err = read() {
		if time.Now().After(end) {
			return fmt.Errorf("read state: revision %d is the last, after %v, and not %d", at, recallWait, fence)
		}
		if !clock.Pause(ctx, recallEvery) {
			return fmt.Errorf("read state: %w", ctx.Err())
		}
	}
	return err
}

// AdvanceStage moves the stage forward by one compare-and-swap against the revision of the
// stage that the caller read. If the outcome is unknown (a time-out), the stage is read
// again, and the write counts as successful if its value is stored.
func (w *Writer) AdvanceStage(ctx context.Context, revision uint64, to protocol.Stage) (uint64, time.Time, error) {
	since := time.Now().UTC()
	body, err := json.Marshal(wire.StoredStage{Stage: to, Since: since})
	if err != nil {
		return 0, since, fmt.Errorf("write stage: %w", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	next, err := w.write(ctx, "stage", nil, body, func() error {
		_, _, stored, err := w.Stage(ctx)
		if err != nil && !errors.Is(err, ErrUnreadable) {
			return err
		}
		if stored != revision {
			return ErrConflict
		}
		return nil
	})
	if err == nil {
		return next, since, nil
	}
	if r, found, again := w.get(ctx, "stage"); again == nil && found && bytes.Equal(r.data, body) {
		return r.seq, since, nil
	}
	return 0, since, fmt.Errorf("write stage: %w", err)
}

// PutModel stores a model.
func (w *Writer) PutModel(ctx context.Context, m protocol.ModelSpec) error {
	return w.PutPart(ctx, m, "", 0)
}

// PutPart stores a model that counts only together with the others of its load, `of`
// models in all. Names of loads are unique.
func (w *Writer) PutPart(ctx context.Context, m protocol.ModelSpec, load string, of int) error {
	return w.put(ctx, "model."+m.Name, wire.StoredModel{ModelSpec: m, Load: load, Of: of})
}

// SetQuarantine stores why models are not served, by name, and removes the entries of
// all other models, as far as Recall has read them or this process has written them.
func (w *Writer) SetQuarantine(ctx context.Context, reasons map[string]string) error {
	w.mu.Lock()
	before := w.quarantined
	w.quarantined = slices.AppendSeq(slices.Clone(before), maps.Keys(reasons))
	w.mu.Unlock()
	for _, name := range before {
		if _, still := reasons[name]; !still {
			if err := w.drop(ctx, "quarantine."+name); err != nil {
				return err
			}
		}
	}
	for name, reason := range reasons {
		if err := w.put(ctx, "quarantine."+name, wire.StoredQuarantine{Model: name, Reason: protocol.ShortText(reason, protocol.MaxText)}); err != nil {
			return err
		}
	}
	return nil
}

// PutProfile stores a profile under its key.
func (w *Writer) PutProfile(ctx context.Context, p protocol.Profile) error {
	return w.put(ctx, profileKey(&p), p)
}

// PutWorker stores a worker's state.
func (w *Writer) PutWorker(ctx context.Context, state protocol.WorkerState) error {
	return w.put(ctx, "worker."+state.ID, state)
}

// DropModel removes a model; it is no error if there is none.
func (w *Writer) DropModel(ctx context.Context, name string) error {
	return w.drop(ctx, "model."+name)
}

// DropWorker removes a worker; it is no error if there is none.
func (w *Writer) DropWorker(ctx context.Context, id string) error {
	return w.drop(ctx, "worker."+id)
}

func (w *Writer) put(ctx context.Context, key string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return w.replace(ctx, key, body)
}

// replace writes a value over whatever the key has.
func (w *Writer) replace(ctx context.Context, key string, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.write(ctx, key, nil, body, nil)
	return wrapped("write "+key, err)
}

// drop writes a deletion marker, as a key-value bucket does for a removed key.
func (w *Writer) drop(ctx context.Context, key string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.write(ctx, key, nats.Header{"KV-Operation": {"DEL"}}, nil, nil); err != nil {
		return fmt.Errorf("remove %s: %w", key, err)
	}
	return nil
}

// write writes a key by one compare-and-swap against the fence and the whole bucket; check
// is called once it is known what the bucket holds, nil for no further condition. A conflict
// without ErrFenced comes from another service's writes, and the write is repeated. The
// caller holds the lock.
func (w *Writer) write(ctx context.Context, key string, header nats.Header, body []byte, check func() error) (revision uint64, err error) {
	for tried := range casAttempts {
		if w.last == 0 {
			info, err := streamOf(ctx, w.kv)
			if err != nil {
				return 0, err
			}
			w.last = info.State.LastSeq
		}
		if check != nil {
			if err := check(); err != nil {
				return 0, err
			}
		}
		m := &nats.Msg{Subject: w.bus.store.local + w.subject(key), Header: nats.Header{}, Data: body}
		for name, values := range header {
			m.Header[name] = values
		}
		ack, failed := w.bus.JS.PublishMsg(ctx, m,
			jetstream.WithExpectLastSequence(w.last), jetstream.WithExpectLastSequenceForSubject(w.revision, w.subject(w.key)))
		if failed == nil {
			w.last = ack.Sequence
			return ack.Sequence, nil
		}
		w.last, err = 0, failed
		if !isConflict(err) {
			return 0, err
		}
		if lost := w.check(ctx); lost != nil {
			return 0, lost
		}
		clock.Pause(ctx, time.Duration(tried+1)*conflictPause)
	}
	return 0, err
}

// subject returns the subject of a key in the broker, which headers name too.
func (w *Writer) subject(key string) string { return "$KV." + w.kv.Bucket() + "." + key }

// The broker's codes for a compare-and-swap that failed; the second one while another
// write against the same number is being replicated.
const (
	errWrongSequence       = 10071
	errWrongSequenceForNow = 10164
)

func isConflict(err error) bool { return hasCode(err, errWrongSequence, errWrongSequenceForNow) }

// hasCode reports whether JetStream refused something with one of these codes.
func hasCode(err error, codes ...jetstream.ErrorCode) bool {
	var api *jetstream.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode)
}
