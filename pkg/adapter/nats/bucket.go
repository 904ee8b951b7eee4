package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
)

// A bucket is a kind of key-value bucket of a stack. Who may write one key of it may put
// any header on the message and any bytes into it, so the buckets themselves bound what
// that can do: no header empties a bucket, keeps a lease alive or hides another's write,
// and no writer fills the bucket of others.
type bucket struct {
	kind, keeps string
	history     int64
	age         time.Duration // 0: for ever
	// values bounds one message with its headers, bytes the whole bucket, messages their
	// number; 0: no bound.
	values          int32
	bytes, messages int64
	// distinct: sequence numbers do not come again in a bucket that is made after this one
	// was lost.
	distinct bool
}

// What one role may fill is a bucket that no other needs to write: profiles are apart from
// the state, leases of services from workers' names and from devices.
var (
	stateBucket   = bucket{kind: "state", keeps: "stage, models, workers", history: 10, values: 1 << 20, bytes: 256 << 20, distinct: true}
	profileBucket = bucket{kind: "profile", keeps: "profiles", history: 1, values: 64 << 10, bytes: 128 << 20, distinct: true}
	epochBucket   = bucket{kind: "epoch", keeps: "the epoch of the scheduler", history: 1, values: leaseBytes, messages: 4, distinct: true}
	leaseBucket   = bucket{kind: "lease", keeps: "who is controller, scheduler, profiler", history: 1, age: liveness.LeaseTTL, values: leaseBytes, messages: 64}
	nameBucket    = bucket{kind: "worker", keeps: "which process has the name of each worker", history: 1, age: liveness.LeaseTTL, values: leaseBytes, messages: 16 << 10}
	deviceBucket  = bucket{kind: "device", keeps: "which devices each worker has", history: 1, age: liveness.LeaseTTL, values: claimBytes, messages: 16 << 10}
	healthBucket  = bucket{kind: "health", keeps: "what health checks write, to see whether it is kept", history: 1, age: time.Minute, values: leaseBytes, messages: 64}
)

// buckets are all buckets of a stack.
var buckets = []bucket{stateBucket, profileBucket, epochBucket, leaseBucket, nameBucket, deviceBucket, healthBucket}

// leaseBytes bounds the value of a lease with its headers.
const leaseBytes = 1 << 10

// claimBytes bounds the claim of a worker with all of its devices.
const claimBytes = 16 << 10

// noRepeats is the shortest time that a broker allows in which it takes a message of the
// same id for a repetition. Nobody writes to a bucket with an id.
const noRepeats = 100 * time.Millisecond

// bucket returns the name of a bucket or stream of this stack.
func (b *Bus) bucket(kind string) string {
	return protocol.StoreName(b.Subjects.Prefix) + "_" + kind
}

// config returns the configuration of a bucket's stream: that of a key-value bucket,
// except that nobody may roll up or purge it.
func (k bucket) config(name string, replicas int) jetstream.StreamConfig {
	first := uint64(0)
	if k.distinct {
		first = uint64(time.Now().UnixMicro())
	}
	return jetstream.StreamConfig{
		Name:              "KV_" + name,
		FirstSeq:          first,
		Description:       "Clockwork: " + k.keeps,
		Subjects:          []string{"$KV." + name + ".>"},
		Storage:           jetstream.FileStorage,
		Discard:           jetstream.DiscardNew,
		MaxMsgsPerSubject: k.history,
		MaxAge:            k.age,
		MaxMsgSize:        orUnlimited(k.values),
		MaxBytes:          orUnlimited(k.bytes),
		MaxMsgs:           orUnlimited(k.messages),
		MaxConsumers:      -1,
		Duplicates:        noRepeats,
		DenyDelete:        true,
		DenyPurge:         true,
		AllowDirect:       true,
		Replicas:          replicas,
	}
}

func orUnlimited[T int32 | int64](limit T) T {
	if limit == 0 {
		return -1
	}
	return limit
}

// tightened returns the configuration of an existing bucket with the limits of a wanted
// one, and whether it differs. What a broker cannot take back stays, as time to live per
// message does.
func tightened(is, want jetstream.StreamConfig) (jetstream.StreamConfig, bool) {
	loose := limitsIn(is) != limitsIn(want)
	is.MaxAge, is.Duplicates, is.SubjectDeleteMarkerTTL = want.MaxAge, want.Duplicates, want.SubjectDeleteMarkerTTL
	is.MaxMsgSize, is.MaxBytes, is.MaxMsgs = want.MaxMsgSize, want.MaxBytes, want.MaxMsgs
	is.AllowRollup, is.DenyPurge, is.DenyDelete, is.AllowDirect = want.AllowRollup, want.DenyPurge, want.DenyDelete, want.AllowDirect
	return is, loose
}

// bucketLimits are the settings of a bucket's stream that a newer version may tighten.
type bucketLimits struct {
	age, repeats, markers time.Duration
	values                int32
	bytes, messages       int64
	rollup, deny, direct  bool
}

func limitsIn(c jetstream.StreamConfig) bucketLimits {
	return bucketLimits{
		age: c.MaxAge, repeats: c.Duplicates, markers: c.SubjectDeleteMarkerTTL,
		values: c.MaxMsgSize, bytes: c.MaxBytes, messages: c.MaxMsgs,
		rollup: c.AllowRollup, deny: c.DenyPurge && c.DenyDelete, direct: c.AllowDirect,
	}
}

// openBucket opens a bucket, and creates it if it does not exist, or sets its limits if
// it has others; a Bound bus waits until clockwork init has. It retries while JetStream is
// not ready, which takes seconds after a start or a failover.
func (b *Bus) openBucket(ctx context.Context, k bucket) (jetstream.KeyValue, error) {
	name := b.bucket(k.kind)
	for tried := 0; ; tried++ {
		attempt, cancel := context.WithTimeout(ctx, storeTry)
		kv, err := b.tryBucket(attempt, name, k.config(name, b.copies()))
		cancel()
		if err == nil {
			return kv, nil
		}
		b.notReady(tried, name, err)
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("open bucket %s: %w", name, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (b *Bus) tryBucket(ctx context.Context, name string, want jetstream.StreamConfig) (jetstream.KeyValue, error) {
	kv, err := b.JS.KeyValue(ctx, name)
	switch {
	case errors.Is(err, jetstream.ErrBucketNotFound) && b.config.Bound:
		return nil, notMade(err)
	case errors.Is(err, jetstream.ErrBucketNotFound):
		if _, err := b.JS.CreateStream(ctx, want); err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return nil, err
		}
		return b.JS.KeyValue(ctx, name)
	case err != nil:
		return nil, err
	}
	info, err := streamOf(ctx, kv)
	if err != nil {
		return nil, err
	}
	config, loose := tightened(info.Config, want)
	switch {
	case !loose:
		return kv, nil
	case b.config.Bound:
		return nil, errLoose
	}
	_, err = b.JS.UpdateStream(ctx, config)
	return kv, err
}

// errLoose: the bucket was made by an older version.
var errLoose = errors.New("its limits are not those of this version: clockwork init sets them")

// streamOf returns the info of a bucket's stream.
func streamOf(ctx context.Context, kv jetstream.KeyValue) (*jetstream.StreamInfo, error) {
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, err
	}
	bucket, ok := status.(*jetstream.KeyValueBucketStatus)
	if !ok {
		return nil, fmt.Errorf("no status of a bucket: %T", status)
	}
	return bucket.StreamInfo(), nil
}

// notReady logs once at level warn, when the wait is longer than usual.
func (b *Bus) notReady(tried int, what string, err error) {
	level := slog.LevelDebug
	if tried == 20 {
		level = slog.LevelWarn
	}
	why := "the broker's store is not ready"
	if isNoRoom(err) {
		why = "the broker's disk has no room for a store that Clockwork needs; waiting until it has"
	}
	b.Log.Log(context.Background(), level, why, "store", what, "servers", b.copies(), "error", err)
}
