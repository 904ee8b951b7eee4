package bus

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/core/liveness"
	"clockwork/pkg/protocol"
)

// wait bounds everything that a test waits for.
const wait = 20 * time.Second

func open(t *testing.T) *Bus {
	t.Helper()
	s, err := StartServer(ServerConfig{DontListen: true, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { StopServer(s) })
	return connect(t, Config{InProcess: s, Prefix: "clockwork", Name: "test"})
}

// leads takes the lease of a service, and the right to write the state for it.
func leads(t *testing.T, b *Bus, service protocol.ServiceKind) (*Writer, *Lease) {
	t.Helper()
	ctx := limited(t)
	state, err := b.OpenStateOf(ctx, service)
	if err != nil {
		t.Fatal(err)
	}
	lease, err := b.AcquireWait(ctx, string(service), "test")
	if err != nil {
		t.Fatal(err)
	}
	w, err := state.Lead(ctx, service, lease)
	if err != nil {
		t.Fatal(err)
	}
	return w, lease
}

func connect(t *testing.T, c Config) *Bus {
	t.Helper()
	b, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	t.Cleanup(cancel)
	return ctx
}

func TestStageMovesByCompareAndSwap(t *testing.T) {
	ctx := limited(t)
	state, _ := leads(t, open(t), protocol.Controller)
	stage, _, revision, err := state.Stage(ctx)
	if err != nil || stage != 0 || revision != 0 {
		t.Fatalf("before anything: %v, revision %d, %v", stage, revision, err)
	}
	next, _, err := state.AdvanceStage(ctx, 0, protocol.Querying)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := state.AdvanceStage(ctx, 0, protocol.AwaitingModels); !errors.Is(err, ErrConflict) {
		t.Errorf("a second first write: %v, want ErrConflict", err)
	}
	if _, _, err := state.AdvanceStage(ctx, next, protocol.AwaitingModels); err != nil {
		t.Error(err)
	}
	if stage, _, _, _ := state.Stage(ctx); stage != protocol.AwaitingModels {
		t.Errorf("stage is %v", stage)
	}
}

func TestFactsAreKeptByKeyAndSeenByWatchers(t *testing.T) {
	ctx := limited(t)
	state, _ := leads(t, open(t), protocol.Controller)
	for _, name := range []string{"b", "a"} {
		if err := state.PutModel(ctx, protocol.ModelSpec{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	if err := state.PutModel(ctx, protocol.ModelSpec{Name: "a", Pages: 7}); err != nil {
		t.Fatal(err)
	}
	if err := state.DropModel(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	read, err := state.Recall(ctx)
	if err != nil || len(read.Models) != 1 || read.Models[0].Pages != 7 || len(read.Torn) != 0 {
		t.Errorf("read: %+v, %v", read, err)
	}
	seen := watched(t, state.State)
	for {
		select {
		case c := <-seen:
			if c.Model != nil && c.Model.Name == "a" && c.Model.Pages == 7 {
				return
			}
		case <-ctx.Done():
			t.Fatal("the watch did not show model a")
		}
	}
}

// watched watches the state until the test ends: a connection that closes while something is
// read from it waits 30 s for that.
func watched(t *testing.T, state *State) chan Change {
	seen, done := make(chan Change, 10), make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		_ = state.Watch(ctx, func(c Change) { seen <- c })
	}()
	t.Cleanup(func() { cancel(); <-done })
	return seen
}

// TestTheStageIsSeenAfterItsModels: a model that was stored again after the stage is known
// when the stage is.
func TestTheStageIsSeenAfterItsModels(t *testing.T) {
	ctx := limited(t)
	state, _ := leads(t, open(t), protocol.Controller)
	put := func(name string) {
		if err := state.PutModel(ctx, protocol.ModelSpec{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	put("a")
	if _, _, err := state.AdvanceStage(ctx, 0, protocol.Querying); err != nil {
		t.Fatal(err)
	}
	put("a")
	put("b")
	seen := watched(t, state.State)
	models := map[string]bool{}
	for {
		select {
		case c := <-seen:
			if c.Model != nil {
				models[c.Model.Name] = true
			} else if c.Stage != 0 {
				if len(models) != 2 {
					t.Errorf("the stage comes after %v", models)
				}
				return
			}
		case <-ctx.Done():
			t.Fatal("the watch did not show the stage")
		}
	}
}

// TestALoadIsStoredAsAWhole or does not count: of c, one of two is missing.
func TestALoadIsStoredAsAWhole(t *testing.T) {
	ctx := limited(t)
	state, _ := leads(t, open(t), protocol.Controller)
	for name, load := range map[string]string{"b-1": "b", "b-2": "b", "c-1": "c"} {
		if err := state.PutPart(ctx, protocol.ModelSpec{Name: name}, load, 2); err != nil {
			t.Fatal(err)
		}
	}
	read, err := state.Recall(ctx)
	if err != nil || len(read.Models) != 2 || len(read.Torn) != 1 || read.Torn[0] != "c-1" {
		t.Errorf("read: %+v, %v", read, err)
	}
}

func TestTheQuarantineIsReplacedAsAWhole(t *testing.T) {
	ctx := limited(t)
	state, _ := leads(t, open(t), protocol.Controller)
	for _, want := range []map[string]string{{"a": "hot", "b": "cold"}, {"b": "odd", "c": "cold"}, {}} {
		if err := state.SetQuarantine(ctx, want); err != nil {
			t.Fatal(err)
		}
		if got, err := state.Recall(ctx); err != nil || !maps.Equal(got.Quarantined, want) {
			t.Errorf("read %v, want %v, %v", got.Quarantined, want, err)
		}
	}
}

func TestALeaseHasOneHolder(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	first, err := b.Acquire(ctx, "controller", "first")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Acquire(ctx, "controller", "second"); !errors.Is(err, ErrHeld) {
		t.Errorf("a second holder: %v, want ErrHeld", err)
	}
	// Renewals keep it past its time to live.
	select {
	case <-first.Lost():
		t.Fatal("lost while nobody else wanted it")
	case <-time.After(liveness.LeaseTTL + time.Second):
	}
	if _, err := b.Acquire(ctx, "controller", "second"); !errors.Is(err, ErrHeld) {
		t.Errorf("after its time to live: %v, want ErrHeld", err)
	}
	first.Release()
	second, err := b.AcquireWait(ctx, "controller", "second")
	if err != nil {
		t.Fatal(err)
	}
	second.Release()
}

func TestALeaseOfADeadHolderExpires(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	dead, err := b.Acquire(ctx, "scheduler", "dead")
	if err != nil {
		t.Fatal(err)
	}
	close(dead.vanish)
	second, err := b.AcquireWait(ctx, "scheduler", "heir")
	if err != nil {
		t.Fatal(err)
	}
	second.Release()
}

func TestBufferKeepsOrderAndIsClaimedOnce(t *testing.T) {
	ctx := limited(t)
	buffer, err := open(t).OpenBuffer(ctx, BufferConfig{Timeout: 10 * time.Second, MaxRequests: 3, MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for i, model := range []string{"a", "b", "a"} {
		if fault := buffer.Store(model, "inbox", time.Duration(i), []byte{byte(i)}, "")(ctx); fault != nil {
			t.Fatal(fault)
		}
	}
	if fault := buffer.Store("a", "inbox", 0, nil, "")(ctx); fault == nil || fault.Code != protocol.BufferFull {
		t.Errorf("a fourth: %v, want BUFFER_FULL", fault)
	}
	seen := make(chan Buffered, 3)
	stop, err := buffer.Watch(ctx, func(r Buffered) { seen <- r })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	for i, model := range []string{"a", "b", "a"} {
		select {
		case r := <-seen:
			if r.Model != model || r.Budget != time.Duration(i) || r.Reply != "inbox" {
				t.Errorf("request %d came as %+v", i, r)
			}
			if body, err := buffer.Body(ctx, r.Seq, r.Stored); err != nil || !slices.Equal(body, []byte{byte(i)}) {
				t.Errorf("body of %d: %v, %v", i, body, err)
			}
			if body, err := buffer.Body(ctx, r.Seq, r.Stored.Add(1)); err != nil || body != nil {
				t.Errorf("body of a request with the same number: %v, %v", body, err)
			}
			for _, want := range []bool{true, false} {
				if got, err := buffer.Claim(ctx, r.Seq); err != nil || got != want {
					t.Errorf("claim of %d: %v, %v, want %v", i, got, err, want)
				}
			}
			if body, err := buffer.Body(ctx, r.Seq, r.Stored); err != nil || body != nil {
				t.Errorf("body after the claim: %v, %v", body, err)
			}
		case <-ctx.Done():
			t.Fatal("not seen")
		}
	}
}

func TestHeartbeatsShowWhoLivesAndWhoIsLost(t *testing.T) {
	b := open(t)
	beats, lost := make(chan protocol.Heartbeat, 1000), make(chan protocol.Heartbeat, 10)
	l, err := b.WatchHeartbeats(protocol.Worker, func(h protocol.Heartbeat) { beats <- h }, func(h protocol.Heartbeat) { lost <- h })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop()
	start := func(incarnation uint64) *Heartbeater {
		return b.StartHeartbeats(protocol.Worker, "w1", func() protocol.Heartbeat { return protocol.Heartbeat{Incarnation: incarnation} })
	}
	first := start(1)
	h := receive(t, beats)
	if h.ID != "w1" || h.Service != protocol.Worker || h.Incarnation != 1 {
		t.Errorf("first beat: %+v", h)
	}
	first.Stop()
	second := start(2)
	if h := receive(t, lost); h.Incarnation != 1 {
		t.Errorf("a new incarnation: %+v lost, want the first", h)
	}
	second.Stop()
	if h := receive(t, lost); h.Incarnation != 2 {
		t.Errorf("silence: %+v lost, want the second", h)
	}
	if alive := l.Alive(); len(alive) != 0 {
		t.Errorf("alive: %+v", alive)
	}
}

func TestAPulseTellsTheHealthOfItsService(t *testing.T) {
	b := open(t)
	ask := func(kind protocol.ServiceKind, id string, patience time.Duration) (protocol.Heartbeat, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return QueryHealth(ctx, b.Control, b.Subjects, kind, id)
	}
	hang := make(chan struct{}, 1)
	heartbeats := b.StartHeartbeats(protocol.Worker, "w1", func() protocol.Heartbeat {
		hang <- struct{}{} // blocks where a test has put something in
		<-hang
		return protocol.Heartbeat{Incarnation: 1, State: protocol.Busy}
	})
	for _, id := range []string{"", "w1"} {
		if h, err := ask(protocol.Worker, id, wait); err != nil || h.State != protocol.Busy {
			t.Errorf("asked for %q: %+v, %v", id, h, err)
		}
	}
	if _, err := ask(protocol.Worker, "w2", 300*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asked for another: %v", err)
	}
	if _, err := ask(protocol.Scheduler, "", 300*time.Millisecond); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("asked for another kind: %v", err)
	}
	hang <- struct{}{}
	if _, err := ask(protocol.Worker, "w1", 300*time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("asked one that hangs: %v", err)
	}
	<-hang
	heartbeats.Stop()
	if _, err := ask(protocol.Worker, "", 300*time.Millisecond); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("asked one that has ended: %v", err)
	}
}

func receive[T any](t *testing.T, from chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(wait):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}
