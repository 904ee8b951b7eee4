package worker

import (
	"slices"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/adapter/backend"
	bus "clockwork/pkg/adapter/nats"
)

// machine is a host of so many devices on a broker.
type machine struct {
	t         *testing.T
	rig       *rig
	inventory backend.Inventory
}

func newMachine(t *testing.T, devices ...string) *machine {
	broker, err := bus.StartServer(bus.ServerConfig{Host: "127.0.0.1", Port: -1, DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { bus.StopServer(broker) })
	return &machine{t, &rig{t: t, broker: broker}, backend.Inventory{Host: "h1", Secret: []byte("h1"), Devices: devices}}
}

// tenant is a worker on it.
type tenant struct {
	t     *testing.T
	taken chan []string
	stop  func()
	ended chan error
}

func (m *machine) worker(name string, gpus int) *tenant { return m.tenant(name, gpus, patience) }

// refused is why a worker gets no devices.
func (m *machine) refused(name string, gpus int) error { return m.tenant(name, gpus, shortWait).end() }

func (m *machine) tenant(name string, gpus int, wait time.Duration) *tenant {
	w := &tenant{t: m.t, taken: make(chan []string, 1)}
	config := DefaultConfig(name, func(devices []string) (backend.Backend, error) {
		w.taken <- slices.Clone(devices)
		return newBench(len(devices)), nil
	})
	config.Inventory, config.GPUs, config.NameWait = m.inventory, gpus, wait
	w.stop, w.ended = m.rig.run(config)
	return w
}

func (w *tenant) has() []string {
	w.t.Helper()
	select {
	case devices := <-w.taken:
		return devices
	case err := <-w.ended:
		w.t.Fatalf("it ended: %v", err)
	case <-time.After(patience):
		w.t.Fatal("it takes no devices")
	}
	return nil
}

func (w *tenant) end() error {
	w.t.Helper()
	select {
	case err := <-w.ended:
		return err
	case <-time.After(patience):
		w.t.Fatal("it does not end")
		return nil
	}
}

func (m *machine) user(worker string) bus.DeviceUser {
	return bus.DeviceUser{Worker: worker, Secret: m.inventory.Secret, Inventory: m.inventory.Devices}
}

func (m *machine) open() *bus.Bus {
	m.t.Helper()
	b, err := bus.Open(m.t.Context(), m.rig.busConfig())
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

// TestWorkersOfOneHostTakeDifferentDevices, a third is told who has them, and what
// one gives back another one takes.
func TestWorkersOfOneHostTakeDifferentDevices(t *testing.T) {
	m := newMachine(t, "cpu-0", "cpu-1")
	w1, w2 := m.worker("w1", 1), m.worker("w2", 1)
	all := append(w1.has(), w2.has()...)
	if slices.Sort(all); !slices.Equal(all, []string{"cpu-0", "cpu-1"}) {
		t.Fatalf("they have %v", all)
	}
	refused := m.refused("w3", 1)
	if refused == nil || !strings.Contains(refused.Error(), "by w1") || !strings.Contains(refused.Error(), "by w2") {
		t.Errorf("a third worker: %v", refused)
	}
	w2.stop()
	if err := w2.end(); err != nil {
		t.Fatal(err)
	}
	w4 := m.worker("w4", 1)
	if got := w4.has(); len(got) != 1 || !slices.Contains(all, got[0]) {
		t.Errorf("after one has stopped the next has %v", got)
	}
}

// TestAnotherHostsDevicesAreOthers, although they are called the same.
func TestAnotherHostsDevicesAreOthers(t *testing.T) {
	m := newMachine(t, "cpu-0")
	m.worker("w1", 1).has()
	m.inventory.Host, m.inventory.Secret = "h2", []byte("h2")
	if got := m.worker("w2", 1).has(); !slices.Equal(got, []string{"cpu-0"}) {
		t.Errorf("it has %v", got)
	}
}

// TestTooFewDevicesAreNone: what cannot serve one worker stays free for another.
func TestTooFewDevicesAreNone(t *testing.T) {
	m := newMachine(t, "cpu-0", "cpu-1", "cpu-2")
	if got := m.worker("w1", 2).has(); !slices.Equal(got, []string{"cpu-0", "cpu-1"}) {
		t.Fatalf("the first ones are taken first: %v", got)
	}
	b := m.open()
	defer b.Close()
	if err := m.refused("w2", 2); err == nil || !strings.Contains(err.Error(), "--gpus is 2") {
		t.Errorf("it ended with %v", err)
	}
	if holders, err := b.DeviceHolders(t.Context(), m.user("")); err != nil || holders[2] != "" {
		t.Errorf("the devices are of %q, %v", holders, err)
	}
	if got := m.worker("w3", 1).has(); !slices.Equal(got, []string{"cpu-2"}) {
		t.Errorf("w3 has %v", got)
	}
}

// TestADeadWorkersDeviceIsTaken once its lease has run out: the broker's clock says when.
func TestADeadWorkersDeviceIsTaken(t *testing.T) {
	t.Parallel() // it waits for the broker
	m := newMachine(t, "cpu-0")
	dead := m.open()
	lease, err := dead.ClaimDevices(t.Context(), m.user("dead"), 1)
	if err != nil {
		t.Fatal(err)
	}
	dead.Close() // it can renew no more
	defer lease.Release()
	if got := m.worker("w1", 1).has(); len(got) != 1 {
		t.Errorf("it has %v", got)
	}
}

// TestAWorkerThatLosesItsDeviceEnds: it was stopped for longer than its lease lives,
// and another one executes there now.
func TestAWorkerThatLosesItsDeviceEnds(t *testing.T) {
	m := newMachine(t, "cpu-0")
	w := m.worker("w1", 1)
	w.has()
	b := m.open()
	defer b.Close()
	devices, err := b.JS.KeyValue(t.Context(), "clockwork_device")
	if err != nil {
		t.Fatal(err)
	}
	if err := devices.Delete(t.Context(), "w1"); err != nil { // as it expires
		t.Fatal(err)
	}
	for { // w1 may be faster
		lease, err := b.ClaimDevices(t.Context(), m.user("another"), 1)
		if err == nil {
			defer lease.Release()
			break
		}
		if err := devices.Delete(t.Context(), "w1"); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.end(); err == nil || !strings.Contains(err.Error(), "cpu-0") {
		t.Errorf("it ended with %v", err)
	}
}

func TestInventoriesAreChecked(t *testing.T) {
	for what, c := range map[string]Config{
		"no GPU":           {Inventory: backend.Inventory{Host: "h", Devices: []string{"cpu-0"}}},
		"too many":         {GPUs: 2, Inventory: backend.Inventory{Host: "h", Devices: []string{"cpu-0"}}},
		"a device no name": {GPUs: 1, Inventory: backend.Inventory{Host: "h", Devices: []string{"cpu.0"}}},
		"a host no name":   {GPUs: 1, Inventory: backend.Inventory{Devices: []string{"cpu-0"}}},
	} {
		config := DefaultConfig("w1", func([]string) (backend.Backend, error) { return newBench(1), nil })
		config.Inventory, config.GPUs = c.Inventory, c.GPUs
		if config.Validate() == nil {
			t.Errorf("%s is accepted", what)
		}
	}
}
