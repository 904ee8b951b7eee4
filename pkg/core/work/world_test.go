package work

import (
	"encoding/binary"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

var worlds = flag.Int64("worlds", 150, "how many seeded worlds TestWorld runs")

// TestWorld lets a worker serve two schedulers of different epochs, a profiler and a
// controller in seeded worlds: messages are lost, doubled, late and out of order,
// GPUs hang, devices fail, clocks step, workers restart and stop in the middle.
// world_check_test.go says what must never be otherwise.
func TestWorld(t *testing.T) {
	sum := map[string]int{}
	for seed := int64(1); seed <= *worlds; seed++ {
		w := runWorld(t, seed)
		if seed%10 == 0 {
			if again := runWorld(t, seed); again.hash != w.hash {
				t.Fatalf("seed %d: two runs differ", seed)
			}
		}
		for what, n := range w.happened {
			sum[what] += n
		}
	}
	for _, what := range []string{"lost", "doubled", "hung", "failed", "restarted", "renewed", "stopped", "stepped", "again", "dropped",
		"overdue", "executor ended", "executor reported first", "executor ended idle", "loaded by one that ended", "start hung", "start failed", "start hung and ended", "EXECUTOR_LOST", "EXECUTOR_KILLED", "CANCELLED",
		"given up", "read after all", "given up unread", "read beside slow loads",
		"OK", "TOO_LATE", "TOO_EARLY", "STALE_EPOCH", "STALE_INCARNATION", "INPUT_MISSING", "INVALID_INPUT", "NO_MEMORY",
		"WEIGHTS_MISSING", "WEIGHTS_IN_USE", "WEIGHTS_CHANGED", "ALREADY_LOADED", "UNKNOWN_MODEL", "SHUTTING_DOWN", "INVALID_BATCH", "INVALID_GPU"} {
		if sum[what] == 0 {
			t.Errorf("%q never happened: %v", what, sum)
		}
	}
}

const (
	worldEvents = 1200
	worldGPUs   = 2
	itemBytes   = 8
)

// worldModels are by path; the second name of a path is a copy.
var worldModels = map[string]struct {
	names []string
	pages int
}{"p/a": {[]string{"a", "a2"}, 2}, "p/b": {[]string{"b"}, 3}, "p/c": {[]string{"c"}, 4}, "p/d": {[]string{"d"}, 5}}

var worldPaths, worldNames = []string{"p/a", "p/b", "p/c", "p/d"}, []string{"a", "a", "a2", "b", "b", "c", "d"}

func worldSpec(path string) protocol.ModelSpec {
	tensor := []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{2}}}
	return protocol.ModelSpec{Path: path, Digest: path, Inputs: tensor, Outputs: tensor, BatchSizes: []int{1, 2, 4}, Pages: worldModels[path].pages}
}

// arrival is something that happens to the worker at an instant. What a driver owes
// is void once its worker is not there any more.
type arrival struct {
	at     protocol.Time
	nth    int
	event  Event
	driver uint64 // the incarnation that it belongs to, 0 for any
}

type world struct {
	t        *testing.T
	seed     int64
	rng      *rand.Rand
	now      protocol.Time
	wake     protocol.Time
	coming   []arrival
	nth      int
	hash     uint64
	happened map[string]int

	config  Config
	worker  *Worker
	seq     uint64
	actions [5]protocol.ActionID // given by each issuer: the index
	epochs  [5]uint64            // 0 for the controller and the profiler
	ahead   time.Duration        // of the scheduler's clock
	handles int
	// processes counts the executors of each GPU that ended; told are those of which the
	// worker got an ExecutorLost.
	processes, told [worldGPUs]uint32
	check           *checker
}

// Issuers of actions.
const (
	controller = iota + 1
	profiler
	oldScheduler
	newScheduler
)

func runWorld(t *testing.T, seed int64) *world {
	t.Helper()
	w := &world{t: t, seed: seed, rng: rand.New(rand.NewSource(seed)), now: 1e9, happened: map[string]int{}, ahead: 3 * time.Second}
	w.epochs = [5]uint64{oldScheduler: 1, newScheduler: 2}
	w.config = Defaults()
	w.config.Name, w.config.Incarnation, w.config.GenerateInputs = "w", 10, true
	w.config.Ahead, w.config.InputWait = 200*time.Millisecond, 300*time.Millisecond
	w.config.MaxQueued, w.config.MaxInputs, w.config.MaxInputBytes = 6, 8, 30*itemBytes
	w.config.Overdue = Overdue{Factor: 10, Floor: 60 * time.Millisecond, Unmeasured: 400 * time.Millisecond}
	w.config.RestartWithin = 80 * time.Millisecond
	w.config.MaxModels, w.config.MaxLoads, w.config.ConcurrentLoads, w.config.SlowLoad = 4, 3, 1+int(seed%2), 30*time.Millisecond
	for range worldGPUs {
		w.config.GPUs = append(w.config.GPUs, GPU{Type: "t", Pages: 8, PageSize: 1})
	}
	w.restart()
	for range worldEvents {
		w.send()
		w.until(w.now.Add(time.Duration(w.rng.Intn(3_000_000))))
	}
	w.quiet()
	return w
}

func (w *world) restart() {
	w.config.Incarnation++
	w.worker, w.wake = New(w.config), protocol.Never
	w.processes, w.told = [worldGPUs]uint32{}, [worldGPUs]uint32{}
	w.coming = slices.DeleteFunc(w.coming, func(a arrival) bool { return a.driver != 0 })
	w.check = newChecker(w)
	for range 10 {
		w.readClock()
	}
}

// one reports whether something happens that happens once in n times.
func (w *world) one(n int) bool { return w.rng.Intn(n) == 0 }

func (w *world) millis(from, to int) time.Duration {
	return time.Duration(from)*time.Millisecond + time.Duration(w.rng.Int63n(int64(to-from)*1e6))
}

func (w *world) after(d time.Duration, driver uint64, e Event) {
	w.nth++
	w.coming = append(w.coming, arrival{w.now.Add(d), w.nth, e, driver})
}

// message is one that the network may lose, double and delay.
func (w *world) message(fresh func() Event) {
	if w.one(20) {
		w.happened["lost"]++
		return
	}
	d := w.millis(0, 4)
	if w.one(15) {
		d = w.millis(0, 120)
	}
	w.after(d, 0, fresh())
	if w.one(10) {
		w.happened["doubled"]++
		w.after(w.millis(0, 200), 0, fresh())
	}
}

// send has one party do something.
func (w *world) send() {
	switch n := w.rng.Intn(400); {
	case n == 0:
		w.happened["restarted"]++
		w.restart()
	case n == 1 && w.one(2):
		w.happened["stopped"]++
		if w.one(3) {
			a := w.action(controller, protocol.Renew)
			a.Earliest, a.Latest = 0, protocol.Never
			w.step(&Received{Action: a})
		}
		w.step(&Stop{})
		w.after(50*time.Millisecond, w.config.Incarnation, &Abandon{})
	case n < 6 && n > 3:
		w.endExecutor(w.rng.Intn(worldGPUs))
	case n == 2:
		w.ahead += w.millis(-30, 30)
	case n == 3:
		w.epochs[newScheduler]++
	case n < 40:
		w.readClock()
	case n < 75:
		w.command()
	default:
		w.order()
	}
	ends := 10
	if w.check.renewing {
		ends = 1000 // for one that stops may begin anew by mistake
	}
	if w.worker.Stopping() && w.worker.InFlight() == 0 && w.one(ends) {
		w.restart()
	}
}

func (w *world) readClock() {
	asked := w.now.Add(-w.millis(0, 2))
	w.step(&ClockReading{Epoch: w.epochs[newScheduler], Asked: asked, Answered: w.now, Remote: asked.Add(w.now.Sub(asked)/2 + w.ahead)})
}

// action begins one of an issuer's, most of them with a window that makes sense.
func (w *world) action(issuer int, kind protocol.Kind) protocol.Action {
	w.actions[issuer]++
	a := protocol.Action{ID: w.actions[issuer], Issuer: uint64(issuer), Epoch: w.epochs[issuer], Kind: kind, Incarnation: w.config.Incarnation}
	a.Earliest = w.now.Add(w.millis(-5, 15))
	a.Latest = a.Earliest.Add(w.millis(0, 60))
	a.Expected = time.Duration(a.ID%4) * 5 * time.Millisecond // 0: not known
	switch {
	case w.one(40):
		a.Incarnation--
	case w.one(60):
		a.Earliest, a.Latest = w.now.Add(w.millis(190, 260)), w.now.Add(time.Second)
	case w.one(60):
		a.Latest = a.Earliest - 1
	case w.one(10):
		a.Earliest = 0
	}
	if a.Epoch != 0 {
		if a.Earliest != 0 {
			a.Earliest = a.Earliest.Add(w.ahead)
		}
		a.Latest = a.Latest.Add(w.ahead)
	}
	return a
}

func (w *world) give(a protocol.Action) {
	w.message(func() Event { return &Received{Action: a} })
}

// command is what the controller does: loads from disk, clearing, looking.
func (w *world) command() {
	kinds := []protocol.Kind{protocol.LoadModelFromDisk, protocol.LoadModelFromDisk, protocol.LoadModelFromDisk, protocol.ClearCache, protocol.GetWorkerState}
	kind := kinds[w.rng.Intn(len(kinds))]
	if w.one(200) {
		kind = protocol.Renew
	}
	a := w.action(controller, kind)
	a.Earliest, a.Latest = 0, protocol.Never
	if kind == protocol.Renew && w.one(5) {
		a.Incarnation = 0
	}
	path := worldPaths[w.rng.Intn(len(worldPaths))]
	switch a.Kind {
	case protocol.LoadModelFromDisk:
		a.Load = &protocol.LoadSpec{Path: path, Names: worldModels[path].names}
		if w.one(3) {
			a.Load.Names = a.Load.Names[:1]
		}
		if w.one(2) {
			a.Load.Within = w.millis(1, 60)
		}
	case protocol.ClearCache:
		a.GPU = w.rng.Intn(worldGPUs+1) - 1
		if a.GPU < 0 && w.one(2) {
			a.Models = worldModels[path].names
		}
	}
	w.give(a)
}

// order is what a scheduler does: a load, an eviction or a batch with its inputs.
func (w *world) order() {
	issuer := []int{profiler, oldScheduler, newScheduler, newScheduler, newScheduler, newScheduler}[w.rng.Intn(6)]
	if issuer == oldScheduler && !w.one(8) {
		issuer = newScheduler
	}
	kinds := []protocol.Kind{protocol.LoadWeights, protocol.EvictWeights, protocol.Infer, protocol.Infer, protocol.Infer, protocol.Infer}
	a := w.action(issuer, kinds[w.rng.Intn(len(kinds))])
	a.Model, a.GPU = worldNames[w.rng.Intn(len(worldNames))], w.rng.Intn(worldGPUs)
	if w.one(100) {
		a.GPU = worldGPUs
	}
	if a.Kind == protocol.Infer {
		w.batch(&a)
	}
	w.give(a)
}

func (w *world) batch(a *protocol.Action) {
	a.Batch = []int{1, 2, 4}[w.rng.Intn(3)]
	if w.one(80) {
		a.Batch = 3
	}
	for left := a.Batch; left > 0 && !w.one(6); {
		w.seq++
		r := protocol.RequestRef{ID: protocol.RequestID{Seq: w.seq}, Batch: 1 + w.rng.Intn(left), Generated: w.one(8)}
		a.Requests, left = append(a.Requests, r), left-r.Batch
		if r.Generated {
			continue
		}
		size := r.Batch * itemBytes
		if w.one(60) {
			size--
		}
		w.message(func() Event { return &Input{ID: r.ID, Bytes: int64(size), Data: payload(r.ID, size)} })
	}
}

// payload is that of a request: it begins with its id.
func payload(id protocol.RequestID, size int) []byte {
	return binary.LittleEndian.AppendUint64(nil, id.Seq)[:min(8, size)]
}

// until lets everything happen that is due by an instant; the worker's wake first.
func (w *world) until(end protocol.Time) {
	for {
		first := -1
		for i := range w.coming {
			if first < 0 || w.coming[i].at < w.coming[first].at || w.coming[i].at == w.coming[first].at && w.coming[i].nth < w.coming[first].nth {
				first = i
			}
		}
		switch {
		case w.wake <= end && (first < 0 || w.wake <= w.coming[first].at):
			w.now, w.wake = max(w.now, w.wake), protocol.Never
			w.step(&Tick{})
		case first >= 0 && w.coming[first].at <= end:
			a := w.coming[first]
			w.coming = slices.Delete(w.coming, first, first+1)
			w.now = max(w.now, a.at)
			w.step(a.event)
		default:
			w.now = max(w.now, end)
			return
		}
	}
}

// quiet lets what is under way end: then nothing may be left.
func (w *world) quiet() {
	w.until(w.now.Add(5 * time.Second))
	w.step(&Tick{})
	w.check.rest()
}

func (w *world) failf(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("seed %d at %v: %s\n%v", w.seed, w.now, fmt.Sprintf(format, args...), w.worker)
}

// step gives the worker an event, has it checked, and does what the worker says.
func (w *world) step(e Event) {
	w.check.before(e)
	out := w.worker.Step(w.now, e)
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %d %T %d %d %d %d", w.hash, w.now, e, len(out.Stage), len(out.Execute), len(out.Transfer), out.Wake)
	for _, r := range out.Results {
		fmt.Fprintf(h, " %d %d %s", r.Issuer, r.Action, r.Code)
		w.happened[string(r.Code)]++
	}
	w.hash = h.Sum64()
	w.happened["again"] += len(out.Again)
	w.happened["dropped"] += len(out.Dropped)
	if out.Stepped {
		w.happened["stepped"]++
	}
	w.check.after(e, out)
	w.wake = min(w.wake, out.Wake)
	w.check.alarms()
	w.drive(out)
}

// fault is how a device fails now and then.
func (w *world) fault() *protocol.Error {
	if !w.one(30) {
		return nil
	}
	w.happened["failed"]++
	return protocol.Refusal(protocol.BackendError)
}

// takes is how long the device is at something; now and then it hangs.
func (w *world) takes(most int) time.Duration {
	if w.one(150) {
		w.happened["hung"]++
		return w.millis(500, 900)
	}
	return w.millis(0, most)
}

// drive owes one event for each order that the worker has begun.
func (w *world) drive(out *Output) {
	for _, o := range out.Stage {
		d := w.millis(0, 12)
		w.owe(d, &Staged{Order: o, Refusal: w.fault(), Phase: protocol.Phase{Begin: w.now, End: w.now.Add(d)}})
	}
	for _, o := range out.Execute {
		d := w.takes(9)
		e := &Executed{Order: o, Refusal: w.fault(), Begin: w.now, End: w.now.Add(d), Fetched: w.one(2)}
		if w.ended(o.GPU) {
			d, e.Refusal = quick, protocol.Refusal(protocol.WeightsMissing)
		}
		w.owe(d, e)
	}
	for _, o := range out.Fetch {
		w.owe(w.millis(0, 5), &Fetched{Order: o, Refusal: w.fault()})
	}
	for _, o := range out.Transfer {
		d := w.takes(14)
		e := &Transferred{Order: o, Begin: w.now, End: w.now.Add(d)}
		if w.ended(o.GPU) && o.Action.Kind == protocol.LoadWeights {
			d, e.Refusal = quick, protocol.Refusal(protocol.ExecutorLost)
		} else if w.ended(o.GPU) {
			d = quick
		} else if o.Dropping == nil {
			e.Refusal = w.fault()
		} else if len(o.Dropping) > 0 && w.one(10) {
			e.Refusal, e.Kept = protocol.Refusal(protocol.BackendError), o.Dropping[:1]
		}
		w.owe(d, e)
	}
	for _, o := range out.Overdue {
		w.happened["overdue"]++
		w.endExecutor(o.GPU)
	}
	for _, s := range out.HungStarts {
		w.happened["start hung and ended"]++
		w.endStart(s.GPU)
	}
	for _, o := range out.GivenUp {
		w.endRead(o)
	}
	for _, o := range out.Read {
		w.handles++
		d := w.millis(5, 40)
		if w.one(20) {
			w.happened["hung"]++
			d = w.millis(500, 900)
		}
		e := &ModelRead{Order: o, Refusal: w.fault(), Begin: w.now, End: w.now.Add(d)}
		if e.Refusal == nil {
			e.Spec, e.Handle = worldSpec(o.Action.Load.Path), w.handles
		}
		w.owe(d, e)
	}
}

func (w *world) owe(d time.Duration, e Event) { w.after(d, w.config.Incarnation, e) }
