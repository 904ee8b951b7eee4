package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"clockwork/pkg/adapter/clock"
	bus "clockwork/pkg/adapter/nats"
)

// devices are the host's devices that this worker has, by a lease; none for a backend that
// needs none.
type devices struct {
	names []string
	lease *bus.DeviceLease
}

// takePause is the minimum pause before the worker tries to take devices again.
// A random part separates workers that start together.
const takePause = 200 * time.Millisecond

// takeDevices takes as many devices as the worker has GPUs, in inventory order,
// or none. Devices of live workers are not taken.
func (s *Service) takeDevices(ctx context.Context, b *bus.Bus) (*devices, error) {
	if len(s.config.Inventory.Devices) == 0 {
		return &devices{}, nil
	}
	user := bus.DeviceUser{Worker: s.config.Name, Secret: s.config.Inventory.Secret, Inventory: s.config.Inventory.Devices}
	late := time.Now().Add(s.config.NameWait)
	var complaint bus.Complaint
	for tried := 0; ; tried++ {
		lease, err := b.ClaimDevices(ctx, user, s.config.GPUs)
		switch {
		case err == nil:
			b.Log.Info("devices taken", "worker", s.config.Name, "host", s.config.Inventory.Host, "devices", strings.Join(lease.Devices, " "))
			return &devices{lease.Devices, lease}, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !errors.Is(err, bus.ErrHeld):
			complaint.Warn(b.Log, time.Now(), "devices not taken", err, "worker", s.config.Name) // the broker is unreachable
			late = time.Now().Add(s.config.NameWait)
		case time.Now().After(late):
			return nil, s.allTaken(ctx, b, user)
		case tried == 0:
			b.Log.Info("devices are taken; waiting to see whether their holders are alive", "worker", s.config.Name, "for", s.config.NameWait)
		}
		clock.Pause(ctx, takePause+rand.N(takePause))
	}
}

// allTaken returns an error that names the holders of the devices.
func (s *Service) allTaken(ctx context.Context, b *bus.Bus, user bus.DeviceUser) error {
	var taken []string
	holders, _ := b.DeviceHolders(ctx, user) // without it the error says less
	for i, holder := range holders {
		if holder != "" {
			taken = append(taken, user.Inventory[i]+" by "+holder)
		}
	}
	return fmt.Errorf("--gpus is %d, and of the %d devices of this host too few are free: %s. Stop a worker, or give this one fewer GPUs",
		s.config.GPUs, len(user.Inventory), strings.Join(taken, ", "))
}

// lost is closed when another worker has one of the devices.
func (d *devices) lost() <-chan struct{} {
	if d.lease == nil {
		return nil
	}
	return d.lease.Lost()
}

// release gives all devices back.
func (d *devices) release() {
	if d.lease != nil {
		d.lease.Release()
	}
}

// processors says what the executions of the GPUs have of the host's processors.
func (a *agent) processors() string {
	var got []string
	for _, g := range a.gpus {
		if g.info.Processor != "" {
			got = append(got, g.info.Processor)
		}
	}
	return strings.Join(got, "; ")
}
