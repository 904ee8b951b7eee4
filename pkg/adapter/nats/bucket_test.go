package bus

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jetstreamHeaders are the headers by which a publisher asks JetStream for more than to
// store its message.
var jetstreamHeaders = []nats.Header{
	{"Nats-Rollup": {"all"}}, {"Nats-Rollup": {"sub"}}, {"Nats-Rollup": {"never"}},
	{"Nats-TTL": {"never"}}, {"Nats-TTL": {"1s"}}, {"Nats-TTL": {"1000000h"}},
	{"Nats-Msg-Id": {"1"}}, {"Nats-Incr": {"+1"}},
	{"Nats-Expected-Stream": {"KV_clockwork_state"}}, {"Nats-Expected-Last-Sequence": {"1"}}, {"Nats-Expected-Last-Msg-Id": {"1"}},
	{"Nats-Expected-Last-Subject-Sequence": {"0"}}, {"Nats-Expected-Last-Subject-Sequence": {"1"}, "Nats-Expected-Last-Subject-Sequence-Subject": {"$KV.clockwork_lease.controller"}},
	{"Nats-Schedule": {"@every 1s"}, "Nats-Schedule-Target": {"$KV.clockwork_lease.controller"}},
	{"Nats-Schedule": {"@at 2020-01-01T00:00:00Z"}, "Nats-Schedule-Target": {"$KV.clockwork_lease.controller"}, "Nats-Schedule-TTL": {"never"}},
	{"Nats-Scheduler": {"x"}, "Nats-Schedule-Next": {"purge"}}, {"Nats-Marker-Reason": {"MaxAge"}}, {"Nats-Applied-Limit": {"MaxAge"}},
	{"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"1"}}, {"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"2"}, "Nats-Batch-Commit": {"1"}},
	{"Nats-Stream-Source": {"x 1 > > >"}}, {"Nats-Counter-Sources": {"{}"}}, {"Nats-Required-Api-Level": {"0"}},
	{"KV-Operation": {"PURGE"}}, {"KV-Operation": {"DEL"}},
}

// TestAKeyOfABucketIsNoMoreThanThat writes to one key with every header that JetStream
// acts upon: no other key changes, the key does not outlive the time of its bucket, and it
// takes no more than its bytes.
func TestAKeyOfABucketIsNoMoreThanThat(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	for _, k := range buckets {
		kept := k
		kept.age = 0 // this test waits for nothing
		kv, err := b.openBucket(ctx, kept)
		if err != nil {
			t.Fatal(err)
		}
		revision, err := kv.Put(ctx, "another", []byte("kept"))
		if err != nil {
			t.Fatal(err)
		}
		own := "$KV." + kv.Bucket() + ".own"
		for _, h := range jetstreamHeaders {
			for range 3 {
				answer, err := b.Control.RequestMsgWithContext(ctx, &nats.Msg{Subject: own, Header: h, Data: []byte("x")})
				if err != nil {
					t.Fatalf("%s: %v: %v", k.kind, h, err)
				}
				refused := strings.Contains(string(answer.Data), `"error"`)
				for _, name := range []string{"Nats-Rollup", "Nats-TTL", "Nats-Incr", "Nats-Schedule", "Nats-Batch-Id"} {
					if h.Get(name) != "" && !refused {
						t.Errorf("%s takes %v: %s", k.kind, h, answer.Data)
					}
				}
			}
			if v, err := kv.Get(ctx, "another"); err != nil || string(v.Value()) != "kept" || v.Revision() != revision {
				t.Fatalf("%s: after %v on its own key another one is %v, %v", k.kind, h, v, err)
			}
		}
		if _, err := kv.Put(ctx, "own", make([]byte, k.values+1)); err == nil {
			t.Errorf("%s takes a value of %d bytes", k.kind, k.values+1)
		}
		info, err := streamOf(ctx, kv)
		if err != nil {
			t.Fatal(err)
		}
		if c := info.Config; c.MaxMsgSize <= 0 || c.MaxBytes <= 0 && c.MaxMsgs <= 0 || c.AllowMsgTTL || c.AllowRollup {
			t.Errorf("%s is not bounded: %+v", k.kind, c)
		}
	}
}

// TestAnIdHidesNobodysWrite: JetStream drops a message whose id it has seen lately,
// whoever wrote that.
func TestAnIdHidesNobodysWrite(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	kv, err := b.openBucket(ctx, leaseBucket)
	if err != nil {
		t.Fatal(err)
	}
	for stored := uint64(0); stored < 2; {
		ack, err := b.JS.PublishMsg(ctx, &nats.Msg{Subject: "$KV." + kv.Bucket() + ".own", Header: nats.Header{"Nats-Msg-Id": {"same"}}, Data: []byte("x")})
		if err != nil {
			t.Fatalf("the id still hides a write: %v", err)
		}
		stored = ack.Sequence
	}
}

// TestBucketsOfAnOlderVersionAreTightened as soon as a process that may do it starts;
// others say what has to be done.
func TestBucketsOfAnOlderVersionAreTightened(t *testing.T) {
	ctx := limited(t)
	s, err := StartServer(ServerConfig{DontListen: true, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { StopServer(s) })
	b := connect(t, Config{InProcess: s, Prefix: "clockwork"})
	old, err := b.JS.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "clockwork_lease", History: 1, Storage: jetstream.FileStorage, LimitMarkerTTL: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := old.Create(ctx, "scheduler", []byte(`{"holder":"old"}`), jetstream.KeyTTL(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	service := connect(t, Config{InProcess: s, Prefix: "clockwork", Bound: true})
	if _, err := service.tryBucket(ctx, "clockwork_lease", leaseBucket.config("clockwork_lease", 1)); !errors.Is(err, errLoose) {
		t.Errorf("a service without the right to change it: %v", err)
	}
	stores, err := b.MakeStores(ctx, BufferConfig{Timeout: time.Second, MaxRequests: 1, MaxBytes: 1 << 20})
	if err != nil || !slices.ContainsFunc(stores, func(s Store) bool { return s.Name == "clockwork_lease" && s.Done == Changed }) {
		t.Errorf("stores: %+v, %v", stores, err)
	}
	kv, err := service.openBucket(ctx, leaseBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.JS.PublishMsg(ctx, &nats.Msg{Subject: "$KV.clockwork_lease.x", Header: nats.Header{"Nats-Rollup": {"all"}}}); err == nil {
		t.Error("it can be rolled up")
	}
	if v, err := kv.Get(ctx, "scheduler"); err == nil && string(v.Value()) != `{"holder":"old"}` {
		t.Errorf("its lease is %q", v.Value())
	}
	for ctx.Err() == nil { // the former lease ends as it would have
		if _, err := kv.Get(ctx, "scheduler"); errors.Is(err, jetstream.ErrKeyNotFound) {
			break
		}
	}
	l, err := b.Acquire(ctx, "scheduler", "new")
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
}

// TestWhatJetStreamSendsReachesNobody: somebody asked it for stored bytes, and named a
// subject of a service for the answer.
func TestWhatJetStreamSendsReachesNobody(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	kv, err := b.openBucket(ctx, leaseBucket)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(ctx, "own", []byte("an order")); err != nil {
		t.Fatal(err)
	}
	heard := make(chan string, 10)
	if _, err := b.Subscribe(b.Control, b.Subjects.Action("w1"), func(m *nats.Msg) { heard <- string(m.Data) }); err != nil {
		t.Fatal(err)
	}
	forged := b.Subjects.Action("w1")
	if err := b.Control.PublishRequest("$JS.API.DIRECT.GET.KV_clockwork_lease.$KV.clockwork_lease.own", forged, nil); err != nil {
		t.Fatal(err)
	}
	if err := b.Control.PublishRequest("$JS.API.DIRECT.GET.KV_clockwork_lease", forged, []byte(`{"next_by_subj":"$KV.clockwork_lease.>","batch":5}`)); err != nil {
		t.Fatal(err)
	}
	// The broker answers in order.
	if _, err := kv.Get(ctx, "own"); err != nil {
		t.Fatal(err)
	}
	if err := b.Control.Publish(forged, []byte("the end")); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case got := <-heard:
			if got == "the end" {
				return
			}
			if got != "" { // the end of a batch
				t.Errorf("a worker heard %q", got)
			}
		case <-ctx.Done():
			t.Fatal("nothing was heard")
		}
	}
}
