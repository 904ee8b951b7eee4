package sched

import (
	"fmt"
	"slices"
	"testing"

	"clockwork/pkg/protocol"
)

// Faults of the original (OSDI 2020, its published scheduler), two tests each:
// go test -run KnownFault finds them all, those of other packages as well. Each
// says what the fault would look like here, and fails if it is planted.

// The original compares a pointer where it means "priority <= 0", so a GPU with
// a free transfer lane loads a copy of whatever comes first. Here that would be
// a LoadWeights to w2 for a model that w1 serves with ease.
func TestKnownFaultACopyNobodyNeedsIsLoaded(t *testing.T) {
	for _, policy := range []string{"faithful", "clockwork"} {
		r := newRig(t, policy, Defaults(), part{name: "a", exec: []float64{2}})
		r.join(0, "w1", 8, "a")
		r.join(0, "w2", 8)
		r.serve(every(10, 100, 100, "a"))
		if loads := r.sent(protocol.LoadWeights); len(loads) > 0 {
			t.Errorf("%s: w1 is busy for 2 ms in 10, and %s is told to load another copy", policy, loads[0].Worker)
		}
	}
}

// The same where memory is full: the copy nobody needs drives out one that is
// in use. Here that would be evictions on both GPUs, over and over.
func TestKnownFaultACopyNobodyNeedsDrivesOutAnother(t *testing.T) {
	for _, policy := range []string{"faithful", "clockwork"} {
		r := newRig(t, policy, Defaults(), part{name: "a", exec: []float64{2}}, part{name: "b", exec: []float64{2}})
		r.join(0, "w1", 1, "a")
		r.join(0, "w2", 1, "b")
		s := r.serve(every(5, 200, 100, "a", "b"))
		if evictions, loads := r.sent(protocol.EvictWeights), r.sent(protocol.LoadWeights); len(evictions)+len(loads) > 0 {
			t.Errorf("%s: each GPU holds the model it needs, and there are %d evictions and %d loads", policy, len(evictions), len(loads))
		}
		if s.met != 200 {
			t.Errorf("%s: %d of 200 requests were met", policy, s.met)
		}
	}
}

// The original reads the time after it has been reset, so demand for a load
// never times out. Here that would be a LoadWeights of a at 41 ms, for requests
// whose 25 ms passed while the transfer lane was busy. When the lane is free
// sooner the copy is right, which shows that there was demand.
func TestKnownFaultLoadDemandNeverTimesOut(t *testing.T) {
	for load, want := range map[float64]int{40: 0, 10: 1} {
		t.Run(fmt.Sprintf("the lane is free after %v ms", load), func(t *testing.T) {
			r := newRig(t, "faithful", Defaults(), part{name: "a", exec: []float64{10}}, part{name: "other", load: load, exec: []float64{10}})
			r.join(0, "w1", 8) // loads the other model, being the first
			r.join(0, "w2", 8, "a")
			r.submit(0, "other", 1000)
			other := r.sent(protocol.LoadWeights)[0]
			for range 60 {
				r.submit(1, "a", 500) // each 10 * 100 / 495: together more than 100 ms of work
			}
			r.result(load, other, protocol.OK, load)
			r.until(55) // before the silent GPU goes mute
			if copies := len(r.sent(protocol.LoadWeights)) - 1; copies != want {
				t.Errorf("%d copies of a were loaded, expected %d", copies, want)
			}
		})
	}
}

// The list of those with demand for a load, by itself. With the fault the sum
// would stay at 60 for ever, and so would the priority.
func TestKnownFaultLoadDemandStaysInTheSum(t *testing.T) {
	var w modelDemand
	for i, load := range []int64{10, 20, 30} {
		q := &request{}
		q.demand = demand{load: load, exec: 1, until: instant(float64(10 * (i + 1)))}
		w.add(q)
	}
	for _, c := range []struct {
		at   float64
		load int64
	}{{9, 60}, {10, 60}, {10.001, 50}, {20, 50}, {20.001, 30}, {30, 30}, {30.001, 0}, {1000, 0}} {
		if w.expire(instant(c.at)); w.load != c.load || w.exec != 3 {
			t.Errorf("at %v ms: a demand of %d for loads and %d for execution, expected %d and 3", c.at, w.load, w.exec, c.load)
		}
	}
	if w.first != nil || w.last != nil {
		t.Error("the list is not empty")
	}
}

// In the original's load-error path an assignment stands for a comparison, so
// that an error counts as another result than it is. Here that would be a copy
// that counts as resident after its load failed, and gets work.
func TestKnownFaultAFailedLoadIsTakenForAnother(t *testing.T) {
	for code, want := range map[protocol.Code]string{
		protocol.OK: "resident", protocol.AlreadyLoaded: "resident",
		protocol.WeightsInUse: "evicting", // nobody knows whether it is there
		protocol.NoMemory:     "", protocol.BackendError: "", protocol.TooLate: "", protocol.Internal: "",
	} {
		t.Run(string(code), func(t *testing.T) {
			r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{10}})
			r.join(0, "w", 8)
			r.submit(0, "a", 1000)
			load := r.sent(protocol.LoadWeights)[0]
			m := r.core.models[0]
			first := m.replicas[0]
			r.result(5, load, code, 5)
			is := phaseNames[first.phase]
			if first.phase == gone {
				is = ""
			}
			if is != want {
				t.Errorf("the copy is %q, expected %q", is, want)
			}
			if begun := len(r.sent(protocol.Infer)) > 0; begun != (want == "resident") {
				t.Errorf("the request was sent: %v", begun)
			}
		})
	}
}

// The same in a whole run: a GPU on which every load fails with NO_MEMORY never
// gets an Infer, and the other one serves. With the fault the first copy would
// count as there.
func TestKnownFaultAFailedLoadServes(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{10}})
	r.join(0, "w1", 8)
	r.join(0, "w2", 8)
	r.submit(0, "a", 1000)
	r.submit(0, "a", 1000)
	load := r.sent(protocol.LoadWeights)[0]
	r.result(5, load, protocol.NoMemory, 5)
	again := r.sent(protocol.LoadWeights)
	if len(again) != 2 || again[1].Worker == load.Worker {
		t.Fatalf("after a load that failed at %s the loads are %+v, expected one more elsewhere", load.Worker, again)
	}
	if g := r.core.gpus[0]; g.allocated != 0 || len(g.replicas) != 0 {
		t.Errorf("what failed takes %d pages still:\n%s", g.allocated, r.core)
	}
	r.result(10, again[1], protocol.OK, 5)
	for _, a := range r.sent(protocol.Infer) {
		if a.Worker == load.Worker {
			t.Errorf("%s gets an Infer of what it could not load", a.Worker)
		}
	}
	if len(r.sent(protocol.Infer)) == 0 {
		t.Error("nobody serves")
	}
}

// The original takes the model id that is one above the last. Here a model is
// known by its name; the fault would be a panic, or a request that waits, for
// the name after the last one.
func TestKnownFaultTheModelAfterTheLastIsTaken(t *testing.T) {
	for count := range 4 {
		var parts []part
		var names []string
		for i := range count {
			names = append(names, fmt.Sprintf("m%d", i))
			parts = append(parts, part{name: names[i], exec: []float64{1}})
		}
		r := newRig(t, "clockwork", Defaults(), parts...)
		r.join(0, "w", 8, names...)
		for _, name := range names {
			r.submit(0, name, 100)
			if code := r.refused(r.seq); code != "" {
				t.Errorf("%s of %d models was refused %s", name, count, code)
			}
		}
		r.submit(0, fmt.Sprintf("m%d", count), 100)
		if code := r.refused(r.seq); code != protocol.UnknownModel {
			t.Errorf("model %d of %d was refused %q, expected UNKNOWN_MODEL", count, count, code)
		}
	}
}

// The same in what a worker says of itself: a model after the last of this
// epoch takes pages, which are foreign, and is nobody's copy.
func TestKnownFaultTheModelAfterTheLastIsMirrored(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "m0", exec: []float64{1}}, part{name: "m1", exec: []float64{1}})
	r.join(0, "w", 3, "m0", "m2")
	g := r.core.gpus[0]
	if len(g.replicas) != 1 || g.replicas[0].model.spec.Name != "m0" || g.allocated != 1 || g.foreign != 1 {
		t.Errorf("expected a copy of m0 and a foreign page:\n%s", r.core)
	}
}

// The original never notices that a worker has died; its requests are never
// answered. Here that would be requests without an end after WorkerLost.
func TestKnownFaultAWorkersDeathLeavesItsRequests(t *testing.T) {
	for _, policy := range []string{"simple", "clockwork", "faithful", "deferred", "aimd", "fifo"} {
		r := newRig(t, policy, Defaults(), part{name: "a", exec: []float64{10}})
		r.join(0, "w1", 8, "a")
		r.submit(0, "a", 100)
		r.submit(0, "a", 30)
		r.step(5, &WorkerLost{ID: "w1"})
		r.until(25)
		r.join(25, "w2", 8, "a") // too late for the second
		r.until(26)
		if last := r.sent(protocol.Infer)[len(r.sent(protocol.Infer))-1]; last.Worker != "w2" || !slices.Contains(seqs(last), 1) {
			t.Errorf("%s: the first request was not given to the worker that lives: %+v", policy, last)
		}
		if code := r.refused(2); code != protocol.WorkerLost && code != protocol.DeadlineExceeded {
			t.Errorf("%s: the second request was refused %q, expected an end that says why", policy, code)
		}
	}
}

// The same where nobody says that the worker has died: every request ends in
// time all the same, though no result comes. With the fault it would wait for
// ever.
func TestKnownFaultSilenceLeavesRequestsForEver(t *testing.T) {
	for _, policy := range []string{"simple", "clockwork", "faithful", "deferred", "aimd", "fifo"} {
		r := newRig(t, policy, Defaults(), part{name: "a", exec: []float64{10}})
		r.join(0, "w", 8, "a")
		for range 20 {
			r.submit(0, "a", 100)
		}
		if ticks, most := r.until(2000), 20+len(r.all.Actions); ticks > most {
			t.Errorf("%s: woken %d times, expected once for each request and action, %d", policy, ticks, most)
		}
		if s := r.core.Stats(); s.Refused != 20 || s.Queued+s.InFlight > 0 {
			t.Errorf("%s: 20 requests to a dead worker became %+v", policy, s)
		}
		if wake := r.step(2000, &Tick{}).Wake; wake != protocol.Never {
			t.Errorf("%s: the core wants to be woken at %v, nothing is left", policy, wake)
		}
	}
}

// One failed load among several workers aborts the original's controller. In the
// scheduler that would be a load that fails on one GPU of three and takes the
// requests, or the other GPUs, with it. (The startup's tests are in pkg/core/startup.)
func TestKnownFaultOneFailedLoadEndsAll(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", exec: []float64{1}}, part{name: "b", exec: []float64{1}})
	for _, w := range []string{"w1", "w2", "w3"} {
		r.join(0, w, 8)
	}
	r.submit(0, "a", 1000)
	r.submit(0, "b", 1000)
	loads := r.sent(protocol.LoadWeights)
	r.result(5, loads[0], protocol.BackendError, 5)
	r.result(5, loads[1], protocol.OK, 5)
	r.result(10, r.sent(protocol.LoadWeights)[2], protocol.OK, 5)
	for _, a := range r.sent(protocol.Infer) {
		r.result(12, a, protocol.OK, 1)
	}
	if s := r.core.Stats(); s.Succeeded != 2 || s.Refused != 0 {
		t.Errorf("one of three loads failed, and two requests became %+v", s)
	}
}

// First in first out inside a model ignores that SLOs differ: the tight ones
// wait behind the loose ones and are lost. Without "edf" that is so here.
func TestKnownFaultTightRequestsWaitBehindLooseOnes(t *testing.T) {
	met := func(without ...string) int {
		core, err := AnyPolicy("clockwork", defaultsWith(func(c *Config) { c.MaxBatch = 2 }), without...)
		if err != nil {
			t.Fatal(err)
		}
		r := rigOf(t, core, part{name: "a", any: true, exec: []float64{4, 6}})
		r.join(0, "w", 1, "a")
		arrivals := every(0, 10, 200, "a")                            // 10 of 200 ms and then
		return r.serve(append(arrivals, every(0, 4, 25, "a")...)).met // 4 of 25 ms
	}
	if n := met(); n != 14 {
		t.Errorf("%d of 14 were met, expected all: the 4 tight ones first", n)
	}
	if n := met("edf"); n == 14 {
		t.Error("in the order of arrival all were met too; the test proves nothing")
	}
}

// In a mixed batch the tightest member says when it must begin. With the fault
// that would be the first that came, and the tight one would be run too late.
func TestKnownFaultAMixedBatchBeginsTooLate(t *testing.T) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", any: true, exec: []float64{4, 6}})
	r.join(0, "w", 1, "a")
	r.submit(0, "a", 100) // runs at once, until 5
	r.submit(0, "a", 200)
	r.submit(0, "a", 20) // to be done at 19, half a ms later if it must
	r.until(3)
	batch := r.sent(protocol.Infer)[1]
	if got := seqs(batch); !slices.Equal(got, []uint64{3, 2}) {
		t.Fatalf("the batch is of %v, expected 3 and 2", got)
	}
	if latest := instant(19 - 6 + 0.5); batch.Action.Latest != latest {
		t.Errorf("it may begin until %v, expected %v", batch.Action.Latest, latest)
	}
}

// The original runs full batches of powers of two: five that wait are 4 and 1.
// Where the backend takes any size, five are five.
func TestKnownFaultOnlyFullBatches(t *testing.T) {
	for waits, sizes := range map[int][]int{3: {3}, 5: {5}, 7: {7}, 8: {8}, 11: {8, 3}} {
		if got := batchesOf(t, waits, true); !slices.Equal(got, sizes) {
			t.Errorf("%d that wait run as %v, expected %v", waits, got, sizes)
		}
	}
}

// Where sizes are compiled, they are padded if that is less work: seven run at
// 8 and not as 4, 2 and 1.
func TestKnownFaultNoPaddedBatches(t *testing.T) {
	for waits, sizes := range map[int][]int{2: {2}, 3: {2, 1}, 5: {4, 1}, 7: {8}, 15: {8, 8}} {
		if got := batchesOf(t, waits, false); !slices.Equal(got, sizes) {
			t.Errorf("%d that wait run at %v, expected %v", waits, got, sizes)
		}
	}
}

// batchesOf are the sizes at which so many requests run that wait together, at
// 2, 3, 5 and 9 ms for 1, 2, 4 and 8.
func batchesOf(t *testing.T, waits int, any bool) (sizes []int) {
	r := newRig(t, "clockwork", Defaults(), part{name: "a", any: any, exec: []float64{2, 3, 5, 9}})
	r.join(0, "w", 1, "a")
	r.serve(every(0, waits+1, 1000, "a")) // the first runs alone, while the others come
	for _, a := range r.sent(protocol.Infer)[1:] {
		sizes = append(sizes, a.Action.Batch)
	}
	return sizes
}

// The original's threads poll. Here a core that has nothing to do asks never to
// be woken, before there is work and after it, and one that has asks for
// instants at which something can be done.
func TestKnownFaultPollingWhenIdle(t *testing.T) {
	for _, policy := range []string{"simple", "clockwork", "faithful", "deferred", "aimd", "fifo"} {
		r := newRig(t, policy, Defaults(), part{name: "a", exec: []float64{2}}, part{name: "b", exec: []float64{2}})
		if out := r.join(0, "w", 8, "a"); out.Wake != protocol.Never {
			t.Errorf("%s: without a request it wants to be woken at %v", policy, out.Wake)
		}
		s := r.serve(every(7, 50, 100, "a", "b"))
		if out := r.step(10_000, &Tick{}); out.Wake != protocol.Never {
			t.Errorf("%s: after the last request it wants to be woken at %v", policy, out.Wake)
		}
		if s.ticks > 50 {
			t.Errorf("%s: woken %d times for 50 requests that hardly wait", policy, s.ticks)
		}
	}
}

// A tick per wake-up that was asked for made an overload of 2,000 requests take
// 1.8 million steps. Here it takes, beside one Submit for each request and one
// Result for each action, at most one tick for each request.
func TestKnownFaultPollingUnderOverload(t *testing.T) {
	for _, policy := range []string{"simple", "clockwork", "faithful", "deferred", "aimd", "fifo"} {
		r := newRig(t, policy, Defaults(), part{name: "a", any: true, exec: []float64{2, 3, 5, 9}})
		r.join(0, "w", 1, "a")
		s := r.serve(every(0.05, 2000, 100, "a")) // 20,000 a second
		if actions := len(r.all.Actions); s.steps != 2000+actions+s.ticks || s.ticks > 2000 {
			t.Errorf("%s: %d steps for 2000 requests and %d actions, %d of them ticks", policy, s.steps, actions, s.ticks)
		}
	}
}
