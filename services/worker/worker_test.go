package worker

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/fx"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

func TestMain(m *testing.M) { bustest.VerifyNoLeaks(m) }

func TestModuleIsWired(t *testing.T) {
	err := fx.ValidateApp(Module, fx.Supply([]Config{}, bus.Config{}), fx.Provide(discardLog))
	if err != nil {
		t.Error(err)
	}
}

// rig is a worker on a real broker, and whoever sends it actions.
type rig struct {
	t       *testing.T
	broker  *server.Server
	log     *slog.Logger // of workers
	bus     *bus.Bus
	decoder *bus.Results
	outputs chan protocol.Output

	mu      sync.Mutex
	last    protocol.ActionID
	results map[protocol.ActionID]chan protocol.Result
	stop    func()
	ended   chan error
}

const (
	testDoor   = 77
	testIssuer = 4711
	patience   = 20 * time.Second
)

func startRig(t *testing.T, back backend.Backend, change func(*Config)) *rig {
	t.Helper()
	return startLoggedRig(t, back, io.Discard, change)
}

// startLoggedRig has the worker log to a writer.
func startLoggedRig(t *testing.T, back backend.Backend, log io.Writer, change func(*Config)) *rig {
	t.Helper()
	broker, err := bus.StartServer(bus.ServerConfig{DontListen: true, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.StopServer(broker) })
	r := &rig{t: t, broker: broker, log: slog.New(slog.NewTextHandler(log, nil)), outputs: make(chan protocol.Output, 100), results: map[protocol.ActionID]chan protocol.Result{}}
	if r.bus, err = bus.Open(t.Context(), r.busConfig()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.bus.Close)
	r.decoder = r.bus.NewResults(testIssuer)
	if _, err := r.bus.Subscribe(r.bus.Control, r.bus.Subjects.Result("w1"), r.onResult); err != nil {
		t.Fatal(err)
	}
	if _, err := r.bus.Subscribe(r.bus.Payload, r.bus.Subjects.Output(testDoor), r.onOutput); err != nil {
		t.Fatal(err)
	}
	if err := r.bus.Payload.Flush(); err != nil {
		t.Fatal(err)
	}
	config := DefaultConfig("w1", func([]string) (backend.Backend, error) { return back, nil })
	if change != nil {
		change(&config)
	}
	r.stop, r.ended = r.run(config)
	if b, ok := back.(*bench); ok {
		t.Cleanup(b.gate.open)
	}
	r.awaitAlive("w1")
	return r
}

func (r *rig) busConfig() bus.Config {
	return bus.Config{InProcess: r.broker, Prefix: protocol.DefaultPrefix}
}

func (r *rig) run(config Config) (stop func(), ended chan error) {
	r.t.Helper()
	broker := r.busConfig()
	broker.Log = r.log
	s, err := New(config, broker)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended = make(chan error, 1)
	var running sync.WaitGroup
	running.Go(func() { ended <- s.Run(ctx) })
	stop = func() { cancel(); running.Wait() }
	r.t.Cleanup(stop)
	return stop, ended
}

func (r *rig) awaitAlive(name string) {
	r.t.Helper()
	seen := make(chan struct{}, 1)
	live, err := r.bus.WatchHeartbeats(protocol.Worker, func(h protocol.Heartbeat) {
		if h.ID == name {
			select {
			case seen <- struct{}{}:
			default:
			}
		}
	}, func(protocol.Heartbeat) {})
	if err != nil {
		r.t.Fatal(err)
	}
	defer live.Stop()
	select {
	case <-seen:
	case <-time.After(patience):
		r.t.Fatalf("no heartbeat of %s", name)
	}
}

func (r *rig) onOutput(m *nats.Msg) {
	outputs, fault := wire.Outputs.Decode(m.Data)
	if fault != nil {
		r.t.Errorf("bad output: %v", fault)
	}
	for _, o := range outputs {
		r.outputs <- o
	}
}

func (r *rig) onResult(m *nats.Msg) {
	results, fault := r.decoder.Read(m)
	if fault != nil {
		r.t.Errorf("bad result: %v", fault)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, got := range results {
		if to := r.results[got.Action]; to != nil {
			to <- got
		}
	}
}

// do sends an action that may begin at any time and returns its result.
func (r *rig) do(a protocol.Action) protocol.Result {
	r.t.Helper()
	return r.await(r.begin(a))
}

// begin sends an action and returns where its results will be; one without an
// id gets the next.
func (r *rig) begin(a protocol.Action) <-chan protocol.Result {
	r.t.Helper()
	if a.Latest == 0 {
		a.Latest = protocol.Never
	}
	results := make(chan protocol.Result, 4)
	r.mu.Lock()
	if a.Issuer = testIssuer; a.ID == 0 {
		r.last++
		a.ID = r.last
	}
	r.results[a.ID] = results
	r.mu.Unlock()
	if err := r.bus.Control.Publish(r.bus.Subjects.Action("w1"), wire.Actions.Encode(&[]protocol.Action{a})); err != nil {
		r.t.Fatal(err)
	}
	return results
}

func (r *rig) await(result <-chan protocol.Result) protocol.Result {
	r.t.Helper()
	select {
	case got := <-result:
		return got
	case <-time.After(patience):
		r.t.Fatal("no result")
		return protocol.Result{}
	}
}

func (r *rig) want(code protocol.Code, a protocol.Action) protocol.Result {
	r.t.Helper()
	got := r.do(a)
	if got.Code != code {
		r.t.Errorf("%v: got %s (%s), want %s", a.Kind, got.Code, got.Message, code)
	}
	return got
}

func (r *rig) load(path string, names ...string) {
	r.t.Helper()
	r.want(protocol.OK, loadModel(path, names...))
}

func loadModel(path string, names ...string) protocol.Action {
	return protocol.Action{Kind: protocol.LoadModelFromDisk, Load: &protocol.LoadSpec{Path: path, Names: names}}
}

func loadWeights(model string) protocol.Action {
	return protocol.Action{Kind: protocol.LoadWeights, Model: model}
}

func evictWeights(model string) protocol.Action {
	return protocol.Action{Kind: protocol.EvictWeights, Model: model}
}

// measure is an Infer without requests.
func measure(model string) protocol.Action {
	return protocol.Action{Kind: protocol.Infer, Model: model, Batch: 1}
}

// inferOf is an Infer of requests of one item each.
func inferOf(model string, batch int, seqs ...uint64) protocol.Action {
	a := protocol.Action{Kind: protocol.Infer, Model: model, Batch: batch}
	for _, seq := range seqs {
		a.Requests = append(a.Requests, protocol.RequestRef{ID: protocol.RequestID{Door: testDoor, Seq: seq}, Batch: 1})
	}
	return a
}

func (r *rig) sendInput(seq uint64, data []byte) {
	r.t.Helper()
	in := protocol.Input{ID: protocol.RequestID{Door: testDoor, Seq: seq}, Model: "m", Batch: 1, Data: data}
	if err := r.bus.Payload.Publish(r.bus.Subjects.Input("w1"), wire.Inputs.Encode(&[]protocol.Input{in})); err != nil {
		r.t.Fatal(err)
	}
	if err := r.bus.Payload.Flush(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) output() protocol.Output {
	r.t.Helper()
	select {
	case o := <-r.outputs:
		return o
	case <-time.After(patience):
		r.t.Fatal("no output")
		return protocol.Output{}
	}
}

func (r *rig) state() *protocol.WorkerState {
	r.t.Helper()
	return r.do(protocol.Action{Kind: protocol.GetWorkerState}).State
}

// bench is a backend that does what a test tells it. Weights and outputs are
// instant; executions wait while the gate is shut.
type bench struct {
	gate    gate
	loads   gate // of loads of weights
	devices []backend.Device
	watcher func(backend.Notice)
	ended   chan string // why a device was to be ended

	mu      sync.Mutex
	failing map[string]error // by what is to fail: "load", "stage", "execute", "evict", "outputs"
	open    int              // models not closed
}

// gate holds those who pass while it is shut, and tells that they are there.
type gate struct {
	mu      sync.Mutex
	opened  chan struct{} // nil while open
	waiting chan struct{}
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.opened, g.waiting = make(chan struct{}), make(chan struct{}, 100)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
	}
	g.opened = nil
}

func (g *gate) pass() {
	g.mu.Lock()
	opened, waiting := g.opened, g.waiting
	g.mu.Unlock()
	if opened != nil {
		waiting <- struct{}{}
		<-opened
	}
}

// awaitOne waits until somebody stands at the gate.
func (g *gate) awaitOne(t *testing.T) {
	t.Helper()
	select {
	case <-g.waiting:
	case <-time.After(patience):
		t.Fatal("nobody came to the gate")
	}
}

const benchPages = 4

func newBench(gpus int) *bench {
	b := &bench{failing: map[string]error{}, ended: make(chan string, 10)}
	for range gpus {
		b.devices = append(b.devices, &benchDevice{b, make([]bool, benchPages)})
	}
	return b
}

func (b *bench) fail(what string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing[what] = err
}

func (b *bench) fault(what string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failing[what]
}

func (b *bench) Name() string                       { return "bench" }
func (b *bench) Version() string                    { return "1" }
func (b *bench) Devices() []backend.Device          { return b.devices }
func (b *bench) Watch(watcher func(backend.Notice)) { b.watcher = watcher }
func (b *bench) Close() error {
	if b.open != 0 {
		return errors.New("models are open")
	}
	return nil
}

func (b *bench) Identify(path string) (protocol.ModelSpec, error) {
	return protocol.ModelSpec{Path: path, Version: 3, Digest: path}, nil
}

// LoadModel knows "small" (1 page), "large" (3 pages); anything else is not
// there. An item is 4 bytes in and out.
func (b *bench) LoadModel(ctx context.Context, path string, _ backend.LoadOptions) (backend.Model, error) {
	if path == "endless" {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	pages, known := map[string]int{"small": 1, "large": 3}[path]
	if !known {
		return nil, protocol.Refusal(protocol.ModelNotFound)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open++
	four := []protocol.TensorSpec{{Name: "x", Datatype: protocol.Uint8, Shape: []int64{4}}}
	return &benchModel{b, protocol.ModelSpec{Path: path, Digest: path, Backend: "bench", BackendVersion: "1",
		Inputs: four, Outputs: four, BatchSizes: []int{1, 2, 4}, Pages: pages, WeightsBytes: 1}}, nil
}

type benchModel struct {
	bench *bench
	spec  protocol.ModelSpec
}

func (m *benchModel) Spec() protocol.ModelSpec     { return m.spec }
func (m *benchModel) Profiles() []protocol.Profile { return nil }
func (m *benchModel) Close() error {
	m.bench.mu.Lock()
	defer m.bench.mu.Unlock()
	m.bench.open--
	return nil
}

type benchDevice struct {
	bench *bench
	used  []bool
}

func (d *benchDevice) End(why string) { d.bench.ended <- why }

func (d *benchDevice) EndStart(why string) {
	select {
	case d.bench.ended <- "the start: " + why:
	default: // it is said again and again
	}
}

func (d *benchDevice) Info() backend.DeviceInfo {
	return backend.DeviceInfo{UUID: "bench", Type: "bench", Pages: benchPages, PageSize: 4096}
}

// forget frees all pages, as a process that ends does.
func (d *benchDevice) forget() {
	d.bench.mu.Lock()
	defer d.bench.mu.Unlock()
	clear(d.used)
}

func (d *benchDevice) LoadWeights(_ backend.Model, frames []int) (backend.Weights, error) {
	d.bench.loads.pass()
	if err := d.bench.fault("load"); err != nil {
		return nil, err
	}
	d.bench.mu.Lock()
	defer d.bench.mu.Unlock()
	for _, f := range frames {
		if d.used[f] {
			return nil, errors.New("a frame is used twice")
		}
		d.used[f] = true
	}
	return &benchWeights{d, frames}, nil
}

type benchWeights struct {
	device *benchDevice
	frames []int
}

func (w *benchWeights) Evict() error {
	if err := w.device.bench.fault("evict"); err != nil {
		return err
	}
	w.device.bench.mu.Lock()
	defer w.device.bench.mu.Unlock()
	for _, f := range w.frames {
		w.device.used[f] = false
	}
	return nil
}

func (d *benchDevice) Stage(_ backend.Model, _ int, _ []int, inputs [][]byte) (backend.Run, error) {
	if err := d.bench.fault("stage"); err != nil {
		return nil, err
	}
	return &benchRun{d.bench, inputs}, nil
}

// benchRun gives its inputs back as outputs.
type benchRun struct {
	bench  *bench
	inputs [][]byte
}

func (r *benchRun) Execute(backend.Weights) error {
	r.bench.gate.pass()
	return r.bench.fault("execute")
}
func (r *benchRun) Outputs() ([][]byte, error) { return r.inputs, r.bench.fault("outputs") }
func (r *benchRun) Release()                   {}

// later is an instant from now.
func later(d time.Duration) protocol.Time { return clock.Now().Add(d) }
