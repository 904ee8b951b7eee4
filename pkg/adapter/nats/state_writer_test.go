package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/protocol"
)

// succeeded is a holder of a lease that stands still, and the one that took its lease.
func succeeded(t *testing.T, b *Bus, service protocol.ServiceKind) (former, later *Writer) {
	t.Helper()
	ctx := limited(t)
	former, held := leads(t, b, service)
	kv, at, err := b.openLease(ctx, string(service))
	if err != nil {
		t.Fatal(err)
	}
	held.mu.Lock() // it does not renew while it stands still
	taken := b.newLease(kv, at, []byte(`{"holder":"later"}`))
	if err := taken.swap(ctx, held.revision); err != nil {
		t.Fatal(err)
	}
	held.mu.Unlock()
	t.Cleanup(taken.Release)
	later, err = former.State.Lead(ctx, service, taken)
	if err != nil {
		t.Fatal(err)
	}
	return former, later
}

// TestG7AFormerLeaderWritesNothing: it stood still while another process took its lease,
// and goes on. Every write there is fails, of keys that exist and of such that do not.
func TestG7AFormerLeaderWritesNothing(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	first, lease := leads(t, b, protocol.Controller)
	if err := first.PutModel(ctx, protocol.ModelSpec{Name: "a", Pages: 1}); err != nil {
		t.Fatal(err)
	}
	stage, _, err := first.AdvanceStage(ctx, 0, protocol.Querying)
	if err != nil {
		t.Fatal(err)
	}
	lease.Release()
	former, later := succeeded(t, b, protocol.Controller)
	if later.Term() <= former.Term() {
		t.Errorf("term %d after %d", later.Term(), former.Term())
	}
	for what, write := range map[string]func() error{
		"a model":                 func() error { return former.PutModel(ctx, protocol.ModelSpec{Name: "a", Pages: 2}) },
		"a new model":             func() error { return former.PutPart(ctx, protocol.ModelSpec{Name: "b"}, "load", 1) },
		"a removal":               func() error { return former.DropModel(ctx, "a") },
		"the stage":               func() error { _, _, err := former.AdvanceStage(ctx, stage, protocol.AwaitingModels); return err },
		"a quarantine":            func() error { return former.SetQuarantine(ctx, map[string]string{"a": "hot"}) },
		"a worker":                func() error { return former.PutWorker(ctx, protocol.WorkerState{ID: "w"}) },
		"the removal of a worker": func() error { return former.DropWorker(ctx, "w") },
		"a profile":               func() error { return former.PutProfile(ctx, protocol.Profile{Digest: "d", GPUType: "t"}) },
		"a question":              func() error { return former.Confirm(ctx) },
		"the fence":               func() error { return former.Raise(ctx) },
	} {
		if err := write(); !errors.Is(err, ErrFenced) {
			t.Errorf("%s of a former leader: %v", what, err)
		}
	}
	if err := later.Confirm(ctx); err != nil {
		t.Error(err)
	}
	read, err := later.Recall(ctx)
	if err != nil || read.Stage != protocol.Querying || len(read.Models) != 1 || read.Models[0].Pages != 1 || len(read.Quarantined)+len(read.Profiles) > 0 {
		t.Errorf("read %+v, %v", read, err)
	}
}

// TestWhatTheControllerFillsInIsAConflictAndNoMore for the profiler, who writes the same
// bucket by compare-and-swap.
func TestWhatTheControllerFillsInIsAConflictAndNoMore(t *testing.T) {
	ctx := limited(t)
	profiler, _ := leads(t, open(t), protocol.Profiler)
	done := make(chan error)
	go func() {
		var err error
		for range 20 {
			err = errors.Join(err, profiler.PutProfile(ctx, protocol.Profile{Digest: "d", GPUType: "t"}))
		}
		done <- err
	}()
	for i := range 20 {
		if err := profiler.FillProfile(ctx, protocol.Profile{Digest: fmt.Sprint("e", i), GPUType: "t"}); err != nil {
			t.Error(err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestALateWriteOfOnesOwnIsRefused: it was given up, for nothing said that it had arrived,
// and the writer went on. It must not undo what came after it.
func TestALateWriteOfOnesOwnIsRefused(t *testing.T) {
	ctx := limited(t)
	w, _ := leads(t, open(t), protocol.Controller)
	if err := w.PutModel(ctx, protocol.ModelSpec{Name: "a", Pages: 1}); err != nil {
		t.Fatal(err)
	}
	late := &nats.Msg{Subject: w.subject("model.a"), Data: []byte(`{"name":"a","pages":1}`)}
	options := []jetstream.PublishOpt{jetstream.WithExpectLastSequence(w.last), jetstream.WithExpectLastSequenceForSubject(w.revision, w.subject(w.key))}
	if err := w.DropModel(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.bus.JS.PublishMsg(ctx, late, options...); !isConflict(err) {
		t.Errorf("the late write: %v", err)
	}
	if read, err := w.Recall(ctx); err != nil || len(read.Models) > 0 {
		t.Errorf("read %+v, %v", read, err)
	}
}

// TestALostStateIsFencedAgain by the process that leads, and by no former one: revisions
// of a bucket that is made anew do not meet those of the one that was lost.
func TestALostStateIsFencedAgain(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	w, _ := leads(t, b, protocol.Controller)
	put := func(w *Writer) error { return w.PutModel(ctx, protocol.ModelSpec{Name: "a"}) }
	lose := func() {
		if err := b.JS.DeleteStream(ctx, "KV_"+b.bucket("state")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.OpenState(ctx); err != nil {
			t.Fatal(err)
		}
	}
	lose()
	if err := put(w); !errors.Is(err, ErrNoFence) {
		t.Errorf("after the loss: %v", err)
	}
	if missing, _, err := w.Missing(ctx); err != nil || !missing {
		t.Errorf("missing: %v, %v", missing, err)
	}
	term := w.Term()
	if err := errors.Join(w.Raise(ctx), put(w)); err != nil || w.Term() != term {
		t.Errorf("raised again: %v, term %d, was %d", err, w.Term(), term)
	}
	if missing, _, err := w.Missing(ctx); err != nil || !missing {
		t.Errorf("without a stage: %v, %v", missing, err)
	}
	w.lease.Release()

	former, later := succeeded(t, b, protocol.Controller)
	lose()
	if err := later.Raise(ctx); err != nil {
		t.Fatal(err)
	}
	if err := put(former); !errors.Is(err, ErrFenced) {
		t.Errorf("a former leader after the loss: %v", err)
	}
	if err := former.Raise(ctx); !errors.Is(err, ErrFenced) {
		t.Errorf("its fence: %v", err)
	}
}

// TestOfTwoFencesTheLastHoldersStays, whoever writes first.
func TestOfTwoFencesTheLastHoldersStays(t *testing.T) {
	ctx := limited(t)
	former, later := succeeded(t, open(t), protocol.Profiler)
	slow := &Writer{State: former.State, lease: former.lease, key: former.key} // it took the lease, and slept before it stored a fence
	if err := slow.Raise(ctx); !errors.Is(err, ErrFenced) {
		t.Errorf("a fence without the lease: %v", err)
	}
	if err := later.PutProfile(ctx, protocol.Profile{Digest: "d", GPUType: "t"}); err != nil {
		t.Error(err)
	}
}

// TestAProfileIsFilledInOnlyWhereThereIsNone.
func TestAProfileIsFilledInOnlyWhereThereIsNone(t *testing.T) {
	ctx := limited(t)
	b := open(t)
	controller, err := b.OpenProfiles(ctx)
	if err != nil {
		t.Fatal(err)
	}
	profiler, _ := leads(t, b, protocol.Profiler)
	for _, write := range []func(context.Context, protocol.Profile) error{controller.FillProfile, controller.FillProfile, profiler.PutProfile, controller.FillProfile} {
		if err := write(ctx, protocol.Profile{Digest: "d", GPUType: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	key, measured := protocol.Profile{Digest: "d", GPUType: "t"}, protocol.Profile{Digest: "d", GPUType: "t"}
	measured.LoadWeights.Samples = 10
	if err := errors.Join(profiler.PutProfile(ctx, measured), controller.FillProfile(ctx, key)); err != nil {
		t.Fatal(err)
	}
	if p, found, err := controller.Profile(ctx, key); err != nil || !found || p.LoadWeights.Samples != 10 {
		t.Errorf("stored is %+v, %v, %v", p, found, err)
	}
}
