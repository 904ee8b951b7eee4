package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// State reads ClockworkState in the key-value store, one key per fact. Each service that
// writes it has a bucket, so that who may write one of them can neither fill another nor get
// in the way of its compare-and-swaps. A State is of one bucket: OpenState opens the
// controller's,
//
//	stage                        {"stage": "LOADING", "since": ...}
//	worker.<id>                  protocol.WorkerState
//	model.<name>                 protocol.ModelSpec, and its load
//	quarantine.<name>            {"model": ..., "reason": ...}
//	fence.controller             who writes: Writer
//
// and OpenProfiles the profiler's, to which the controller only adds what is missing:
//
//	profile.<digest>.<gpu type>=<backend>  protocol.Profile
//	fence.profiler               who writes: Writer
//
// and OpenEpochs the scheduler's:
//
//	fence.scheduler              whose term is the scheduler's epoch: Writer
//
// Values are JSON, so that an operator can read them. Methods may be called from any
// goroutine.
//
// A value that cannot be read counts as the last one that could: see Writer.Repair.
type State struct {
	bus *Bus
	kv  jetstream.KeyValue
}

// ErrFull: a bucket has no room for another key.
var ErrFull = errors.New("the bucket is full")

// ErrUnreadable: what is stored is not a value of ours.
var ErrUnreadable = errors.New("what is stored cannot be read")

// OpenState opens the controller's bucket, and creates it if it does not exist.
func (b *Bus) OpenState(ctx context.Context) (*State, error) { return b.openStateIn(ctx, stateBucket) }

// OpenProfiles opens the profiler's bucket, and creates it if it does not exist.
func (b *Bus) OpenProfiles(ctx context.Context) (*State, error) {
	return b.openStateIn(ctx, profileBucket)
}

// OpenEpochs opens the scheduler's bucket, and creates it if it does not exist.
func (b *Bus) OpenEpochs(ctx context.Context) (*State, error) { return b.openStateIn(ctx, epochBucket) }

// OpenStateOf opens the bucket that a service leads.
func (b *Bus) OpenStateOf(ctx context.Context, service protocol.ServiceKind) (*State, error) {
	switch service {
	case protocol.Profiler:
		return b.OpenProfiles(ctx)
	case protocol.Scheduler:
		return b.OpenEpochs(ctx)
	}
	return b.OpenState(ctx)
}

func (b *Bus) openStateIn(ctx context.Context, k bucket) (*State, error) {
	kv, err := b.openBucket(ctx, k)
	if err != nil {
		return nil, err
	}
	return &State{b, kv}, nil
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
	r, found, err := s.bus.store.last(ctx, "KV_"+s.kv.Bucket(), "$KV."+s.kv.Bucket()+"."+key)
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
	return s.bus.store.scan(ctx, "KV_"+s.kv.Bucket(), "$KV."+s.kv.Bucket()+"."+keys, after, visit)
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
		if found && decodeStored(r.data, &p) == nil && p.Key() == like.Key() { // otherwise it is measured again
			return p, true, nil
		}
	}
	return protocol.Profile{}, false, nil
}

// FillProfile stores a profile if there is none under its key, so that it may be used by
// others than the profiler.
func (s *State) FillProfile(ctx context.Context, p protocol.Profile) error {
	body, err := json.Marshal(p)
	if err == nil {
		_, err = s.kv.Create(ctx, profileKey(&p), body)
	}
	switch {
	case err == nil || errors.Is(err, jetstream.ErrKeyExists):
		return nil
	case isFull(err):
		return fmt.Errorf("write profile: %w: %w", ErrFull, err)
	}
	return fmt.Errorf("write profile: %w", err)
}

// Stored is all of the state that outlives its controller.
type Stored struct {
	// Stage is 0 if none is stored, Revision that of the stage.
	Stage    protocol.Stage
	Since    time.Time
	Revision uint64
	// Models are those whose load is complete, by name; Torn names those whose load a
	// writer left incomplete.
	Models []protocol.ModelSpec
	Torn   []string
	// Quarantined says why models are not served, by name.
	Quarantined map[string]string
	Profiles    []protocol.Profile
	// Upto is the last revision that was read. Flawed: the last value of some key cannot be
	// read, and an earlier one counts.
	Upto   uint64
	Flawed bool
}

// Read reads the state: of each key the last revision that can be read. What it returns may
// be older than the last write: another server than the one that took the write may answer.
func (s *State) Read(ctx context.Context) (Stored, error) {
	read := Stored{Quarantined: map[string]string{}}
	models, profiles := map[string]wire.StoredModel{}, map[string]protocol.Profile{}
	broken := map[string]bool{}
	var err error
	read.Upto, err = s.scan(ctx, ">", 0, func(r record) {
		key := s.key(r)
		if r.removed() {
			delete(models, key)
			delete(profiles, key)
			delete(broken, key)
			if model, is := strings.CutPrefix(key, "quarantine."); is {
				delete(read.Quarantined, model)
			}
			return
		}
		value, readable := decodeValue(key, r.data)
		if !readable {
			broken[key] = true
			return
		}
		delete(broken, key)
		switch v := value.(type) {
		case *wire.StoredStage:
			read.Stage, read.Since, read.Revision = v.Stage, v.Since, r.seq
		case *wire.StoredModel:
			models[key] = *v
		case *protocol.Profile:
			profiles[key] = *v
		case *wire.StoredQuarantine:
			read.Quarantined[v.Model] = v.Reason
		}
	})
	if err != nil {
		return Stored{}, fmt.Errorf("read state: %w", err)
	}
	read.Flawed = len(broken) > 0
	read.complete(models)
	for _, key := range slices.Sorted(maps.Keys(profiles)) {
		read.Profiles = append(read.Profiles, profiles[key])
	}
	return read, nil
}

// complete tells the models of complete loads from the others.
func (r *Stored) complete(stored map[string]wire.StoredModel) {
	parts := map[string]int{}
	for _, m := range stored {
		parts[m.Load]++
	}
	for _, key := range slices.Sorted(maps.Keys(stored)) {
		if m := stored[key]; m.Load != "" && parts[m.Load] < m.Of {
			r.Torn = append(r.Torn, m.Name)
		} else {
			r.Models = append(r.Models, m.ModelSpec)
		}
	}
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

// Watch calls changed, from one goroutine, for every stored model and the stored stage, then
// for each change, until ctx ends or the watch breaks (a lost broker, another bucket): then
// the caller starts a new one. The stage comes after all models: one that was repaired later
// would be unknown in a stack that is active.
func (s *State) Watch(ctx context.Context, changed func(Change)) error {
	created, err := s.created(ctx)
	if err != nil {
		return fmt.Errorf("watch state: %w", err)
	}
	at, checked := uint64(0), time.Now()
	for {
		var stage Change // the last one
		at, err = s.scan(ctx, ">", at, func(r record) {
			switch c, ok := s.changeOf(r); {
			case ok && c.Stage != 0:
				stage = c
			case ok:
				changed(c)
			}
		})
		if err == nil && stage.Stage != 0 {
			changed(stage)
		}
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
