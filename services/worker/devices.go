package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
)

// devices are the host's devices that this worker owns, each by a lease.
type devices struct {
	names  []string
	leases []*bus.Lease
	lost   chan string // a device whose lease another worker now holds
	stop   chan struct{}
	watch  sync.WaitGroup
}

// takePause is the minimum pause before the worker tries to take devices again.
// A random part separates workers that start together.
const takePause = 200 * time.Millisecond

// takeDevices takes as many devices as the worker has GPUs, in inventory order,
// or none. Devices of live workers are not taken.
func (s *Service) takeDevices(ctx context.Context, b *bus.Bus) (*devices, error) {
	d := &devices{lost: make(chan string, 1), stop: make(chan struct{})}
	if len(s.config.Inventory.Devices) == 0 {
		return d, nil
	}
	late := time.Now().Add(nameWait)
	var complaint bus.Complaint
	for tried := 0; ; tried++ {
		err := s.tryDevices(ctx, b, d)
		switch {
		case err == nil:
			d.watchLeases()
			b.Log.Info("devices taken", "worker", s.config.Name, "host", s.config.Inventory.Host, "devices", strings.Join(d.names, " "))
			return d, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, bus.ErrHeld):
			complaint.Warn(b.Log, time.Now(), "devices not taken", err, "worker", s.config.Name) // the broker is unreachable
			late = time.Now().Add(nameWait)
		case time.Now().After(late):
			return nil, s.allTaken(ctx, b)
		case tried == 0:
			b.Log.Info("devices are taken; waiting to see whether their holders are alive", "worker", s.config.Name, "for", nameWait)
		}
		clock.Pause(ctx, takePause+rand.N(takePause))
	}
}

// tryDevices takes all devices that the worker needs, or none. ErrHeld: too few
// are free.
func (s *Service) tryDevices(ctx context.Context, b *bus.Bus, d *devices) error {
	for _, name := range s.config.Inventory.Devices {
		lease, err := b.Acquire(ctx, s.deviceKey(name), s.config.Name)
		if err == nil {
			d.names, d.leases = append(d.names, name), append(d.leases, lease)
		} else if !errors.Is(err, bus.ErrHeld) {
			d.giveBack()
			return err
		}
		if len(d.names) == s.config.GPUs {
			return nil
		}
	}
	d.giveBack()
	return bus.ErrHeld
}

func (s *Service) deviceKey(device string) string {
	return "gpu." + s.config.Inventory.Host + "." + device
}

// allTaken returns an error that names the holders of the devices.
func (s *Service) allTaken(ctx context.Context, b *bus.Bus) error {
	var taken []string
	for _, name := range s.config.Inventory.Devices {
		if holder, err := b.Holder(ctx, s.deviceKey(name)); err == nil && holder != "" {
			taken = append(taken, name+" by "+holder)
		}
	}
	return fmt.Errorf("--gpus is %d, and of the %d devices of this host too few are free: %s. Stop a worker, or give this one fewer GPUs",
		s.config.GPUs, len(s.config.Inventory.Devices), strings.Join(taken, ", "))
}

func (d *devices) watchLeases() {
	for i, lease := range d.leases {
		d.watch.Go(func() {
			select {
			case <-d.stop:
			case <-lease.Lost():
				select {
				case d.lost <- d.names[i]:
				default: // one lost device is enough
				}
			}
		})
	}
}

// release gives all devices back.
func (d *devices) release() {
	close(d.stop)
	d.watch.Wait()
	d.giveBack()
}

func (d *devices) giveBack() {
	for _, lease := range d.leases {
		lease.Release()
	}
	d.names, d.leases = nil, nil
}
