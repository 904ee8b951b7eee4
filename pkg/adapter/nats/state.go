package bus

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// ErrConflict: another writer was first. Read again and decide again.
var ErrConflict = errors.New("the state was changed by somebody else")

// State is ClockworkState in the key-value store, one key per fact:
//
//	stage                        {"stage": "LOADING", "since": ...}
//	worker.<id>                  protocol.WorkerState
//	model.<name>                 protocol.ModelSpec, and its load
//	quarantine.<name>            {"model": ..., "reason": ...}
//	profile.<digest>.<gpu type>=<backend>  protocol.Profile
//
// Values are JSON, so that an operator can read them. Every write is a compare-and-swap.
// Methods may be called from any goroutine.
//
// A value that cannot be read counts as the last one that could: see Repair.
type State struct {
	kv jetstream.KeyValue
	nc *nats.Conn
}

// ErrUnreadable: what is stored is not a value of ours.
var ErrUnreadable = errors.New("what is stored cannot be read")

// OpenState opens the bucket, and creates it if it does not exist.
func (b *Bus) OpenState(ctx context.Context) (*State, error) {
	kv, err := b.openBucket(ctx, stateBucket)
	if err != nil {
		return nil, err
	}
	return &State{kv, b.Control}, nil
}

// Stage returns the stored stage, when it began, and its revision; 0 and 0 if none is
// stored yet. The error is ErrUnreadable, with the revision, if none can be read.
func (s *State) Stage(ctx context.Context) (protocol.Stage, time.Time, uint64, error) {
	r, found, err := s.get(ctx, "stage")
	if err != nil || !found {
		return 0, time.Time{}, 0, wrapped("read stage", err)
	}
	var v wire.StoredStage
	if decodeStored(r.data, &v) != nil || v.Stage == 0 {
		return 0, time.Time{}, r.seq, fmt.Errorf("read stage: %w", ErrUnreadable)
	}
	return v.Stage, v.Since, r.seq, nil
}

func wrapped(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// get returns the value of a key, false if there is none.
func (s *State) get(ctx context.Context, key string) (record, bool, error) {
	r, found, err := last(ctx, s.nc, "KV_"+s.kv.Bucket(), "$KV."+s.kv.Bucket()+"."+key)
	return r, found && !r.removed(), err
}

// key returns the key of a message of the bucket.
func (s *State) key(r record) string {
	return strings.TrimPrefix(r.subject, "$KV."+s.kv.Bucket()+".")
}

// removed reports whether a message of a bucket says that its key has no value.
func (r record) removed() bool { return r.header["KV-Operation"] != nil }

// scan calls visit for each revision of the keys that match, after a revision.
func (s *State) scan(ctx context.Context, keys string, after uint64, visit func(record)) (uint64, error) {
	return scan(ctx, s.nc, "KV_"+s.kv.Bucket(), "$KV."+s.kv.Bucket()+"."+keys, after, visit)
}

// AdvanceStage moves the stage forward by one compare-and-swap against the revision.
// ErrConflict: the stage is no longer the one that the caller read. If the outcome is
// unknown (a time-out), the stage is read again, and the write counts as successful if
// its value is stored.
func (s *State) AdvanceStage(ctx context.Context, revision uint64, to protocol.Stage) (uint64, time.Time, error) {
	since := time.Now().UTC()
	body, err := json.Marshal(wire.StoredStage{Stage: to, Since: since})
	if err != nil {
		return 0, since, fmt.Errorf("write stage: %w", err)
	}
	next, err := s.swap(ctx, "stage", revision, body)
	if err == nil {
		return next, since, nil
	}
	if r, found, again := s.get(ctx, "stage"); again == nil && found {
		if bytes.Equal(r.data, body) {
			return r.seq, since, nil
		}
		if r.seq != revision {
			return 0, since, ErrConflict
		}
	}
	return 0, since, fmt.Errorf("write stage: %w", err)
}

func (s *State) swap(ctx context.Context, key string, revision uint64, body []byte) (uint64, error) {
	if revision == 0 {
		return s.kv.Create(ctx, key, body)
	}
	return s.kv.Update(ctx, key, body, revision)
}

// PutModel stores a model. An equal stored value is not written again, as in all Put
// methods.
func (s *State) PutModel(ctx context.Context, m protocol.ModelSpec) error {
	return s.PutPart(ctx, m, "", 0)
}

// PutPart stores a model that counts only together with the others of its load, `of`
// models in all. Names of loads are unique.
func (s *State) PutPart(ctx context.Context, m protocol.ModelSpec, load string, of int) error {
	return s.put(ctx, "model."+m.Name, wire.StoredModel{ModelSpec: m, Load: load, Of: of})
}

// SetQuarantine stores why models are not served, by name, and removes the entries of
// all other models.
func (s *State) SetQuarantine(ctx context.Context, reasons map[string]string) error {
	stored, err := s.Quarantine(ctx)
	if err != nil {
		return err
	}
	for name := range stored {
		if _, still := reasons[name]; !still {
			if err := s.drop(ctx, "quarantine."+name); err != nil {
				return err
			}
		}
	}
	for name, reason := range reasons {
		if err := s.put(ctx, "quarantine."+name, wire.StoredQuarantine{Model: name, Reason: reason}); err != nil {
			return err
		}
	}
	return nil
}

// Quarantine returns why models are not served, by name.
func (s *State) Quarantine(ctx context.Context) (map[string]string, error) {
	values, err := readAll[wire.StoredQuarantine](ctx, s, "quarantine.*")
	reasons := map[string]string{}
	for _, v := range values {
		reasons[v.Model] = v.Reason
	}
	return reasons, err
}

// PutProfile stores a profile under its key.
func (s *State) PutProfile(ctx context.Context, p protocol.Profile) error {
	return s.put(ctx, profileKey(&p), p)
}

// PutWorker stores a worker's state.
func (s *State) PutWorker(ctx context.Context, w protocol.WorkerState) error {
	return s.put(ctx, "worker."+w.ID, w)
}

// DropModel removes a model; it is no error if there is none. A concurrent write of the
// model fails.
func (s *State) DropModel(ctx context.Context, name string) error {
	return s.drop(ctx, "model."+name)
}

// DropWorker removes a worker, as DropModel does a model.
func (s *State) DropWorker(ctx context.Context, id string) error {
	return s.drop(ctx, "worker."+id)
}

// Profile reads the profile with the same key as like: digest, backend and its version, type
// of GPU.
func (s *State) Profile(ctx context.Context, like protocol.Profile) (protocol.Profile, bool, error) {
	for _, key := range []string{profileKey(&like), firstProfileKey(&like)} {
		r, found, err := s.get(ctx, key)
		if err != nil {
			return protocol.Profile{}, false, wrapped("read profile", err)
		}
		var p protocol.Profile
		if found && decodeStored(r.data, &p) == nil && p.SameKey(like) { // otherwise it is measured again
			return p, true, nil
		}
	}
	return protocol.Profile{}, false, nil
}

// Models returns every model whose load is complete, and in torn the names of models
// whose load a writer left incomplete.
func (s *State) Models(ctx context.Context) (models []protocol.ModelSpec, torn []string, err error) {
	stored, err := readAll[wire.StoredModel](ctx, s, "model.*")
	parts := map[string]int{}
	for _, m := range stored {
		parts[m.Load]++
	}
	for _, m := range stored {
		if m.Load != "" && parts[m.Load] < m.Of {
			torn = append(torn, m.Name)
			continue
		}
		models = append(models, m.ModelSpec)
	}
	return models, torn, err
}

// Profiles returns every stored profile.
func (s *State) Profiles(ctx context.Context) ([]protocol.Profile, error) {
	return readAll[protocol.Profile](ctx, s, "profile.*.*")
}

// Workers returns every stored worker.
func (s *State) Workers(ctx context.Context) ([]protocol.WorkerState, error) {
	return readAll[protocol.WorkerState](ctx, s, "worker.*")
}

// Change is one change of a model or of the stage, as Watch reports it.
type Change struct {
	// Stage is set if the stage changed.
	Stage protocol.Stage
	// Model is set if a model was stored; Dropped names a removed one.
	Model   *protocol.ModelSpec
	Dropped string
}

// lookEvery is the interval at which a watch looks for changes, sameEvery the one at which
// it checks that its bucket is still the same: of a bucket that was lost and created again
// it would report nothing.
const (
	lookEvery = 100 * time.Millisecond
	sameEvery = 2 * time.Second
)

// Watch calls changed, from one goroutine, for the stored stage and every stored model,
// then for each change, until ctx ends or the watch breaks (a lost broker, another
// bucket): then the caller starts a new one.
func (s *State) Watch(ctx context.Context, changed func(Change)) error {
	created, err := s.created(ctx)
	if err != nil {
		return fmt.Errorf("watch state: %w", err)
	}
	at, checked := uint64(0), time.Now()
	for {
		attempt, cancel := context.WithTimeout(ctx, watchWait)
		at, err = s.scan(attempt, ">", at, func(r record) {
			if c, ok := s.changeOf(r); ok {
				changed(c)
			}
		})
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("watch state: %w", err)
		}
		if time.Since(checked) >= sameEvery {
			checked = time.Now()
			if now, err := s.created(ctx); err == nil && !now.Equal(created) {
				return fmt.Errorf("watch state: the bucket was made anew")
			}
		}
		if !clock.Pause(ctx, lookEvery) {
			return nil
		}
	}
}

// watchWait bounds one look for changes.
const watchWait = 5 * time.Second

// created returns when the bucket was created.
func (s *State) created(ctx context.Context) (time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, sameEvery)
	defer cancel()
	info, err := streamOf(ctx, s.kv)
	if err != nil {
		return time.Time{}, err
	}
	return info.Created, nil
}

func (s *State) changeOf(r record) (Change, bool) {
	key := s.key(r)
	name, isModel := strings.CutPrefix(key, "model.")
	switch {
	case isModel && r.removed():
		return Change{Dropped: name}, true
	case isModel:
		var m protocol.ModelSpec
		if decodeStored(r.data, &m) != nil {
			return Change{}, false
		}
		return Change{Model: &m}, true
	case key != "stage":
		return Change{}, false
	}
	var v wire.StoredStage
	if decodeStored(r.data, &v) != nil || v.Stage == 0 {
		return Change{}, false
	}
	return Change{Stage: v.Stage}, true
}

// decodeStored decodes a value of the key-value store into a struct with json tags.
func decodeStored(value []byte, into any) error {
	if fault := wire.DecodeStored(value, into); fault != nil {
		return fault
	}
	return nil
}

// profileKey returns the key of a profile. Profiles of different backends, or versions of
// one, are kept beside each other: no name of a GPU type holds a "=".
func profileKey(p *protocol.Profile) string {
	backend := sha256.Sum256([]byte(p.Backend + "\x00" + p.BackendVersion))
	return firstProfileKey(p) + "=" + hex.EncodeToString(backend[:8])
}

// firstProfileKey is the key under which profiles were stored first, of whatever backend was
// the last; such ones are still read.
func firstProfileKey(p *protocol.Profile) string { return "profile." + p.Digest + "." + p.GPUType }

// casAttempts bounds how often a write is repeated after a conflict.
const casAttempts = 5

func (s *State) put(ctx context.Context, key string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("write %s: %w", key, err)
	}
	return s.replace(ctx, key, body)
}

// replace writes a value over whatever the key has, unless that is equal.
func (s *State) replace(ctx context.Context, key string, body []byte) (err error) {
	for range casAttempts {
		revision := uint64(0)
		r, found, getErr := s.get(ctx, key)
		if getErr != nil {
			return fmt.Errorf("write %s: %w", key, getErr)
		}
		if found {
			if bytes.Equal(r.data, body) {
				return nil
			}
			revision = r.seq
		}
		if _, err = s.swap(ctx, key, revision, body); err == nil {
			return nil
		}
	}
	return fmt.Errorf("write %s: %w", key, err)
}

func (s *State) drop(ctx context.Context, key string) error {
	var err error
	for range casAttempts {
		// Even without a stored value the deletion marker is written: it makes a
		// concurrent write fail.
		revision := uint64(0)
		r, found, getErr := s.get(ctx, key)
		if getErr != nil {
			return fmt.Errorf("remove %s: %w", key, getErr)
		}
		if found {
			revision = r.seq
		}
		if err = s.kv.Delete(ctx, key, jetstream.LastRevision(revision)); err == nil {
			return nil
		}
	}
	return fmt.Errorf("remove %s: %w", key, err)
}
