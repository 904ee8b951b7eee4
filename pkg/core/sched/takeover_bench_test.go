package sched

import (
	"fmt"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// BenchmarkTakeover is what a scheduler that takes over does with the state of all models that a
// stack may have, before it is active.
func BenchmarkTakeover(b *testing.B) {
	for _, networks := range []int{64, 65536} {
		state := takeoverState(networks, 65536, 4)
		b.Run(fmt.Sprintf("networks-%d", networks), func(b *testing.B) {
			for range b.N {
				core, err := New("clockwork", Defaults())
				if err != nil {
					b.Fatal(err)
				}
				core.Step(1, &Activate{Epoch: 1, Issuer: 1, State: state})
			}
		})
	}
}

// takeoverState is a state of models that are copies of networks, each measured.
func takeoverState(networks, models, gpus int) (s protocol.ClockworkState) {
	for i := range models {
		m, p := spec(fmt.Sprintf("m%d", i), 3, 10*time.Millisecond, time.Millisecond, 2*time.Millisecond, 3*time.Millisecond, 4*time.Millisecond)
		m.Digest, p.Digest = fmt.Sprint(i%networks), fmt.Sprint(i%networks)
		s.Models = append(s.Models, m)
		if i < networks {
			s.Profiles = append(s.Profiles, p)
		}
	}
	w := protocol.WorkerState{ID: "w", Incarnation: 1, Models: s.Models}
	for id := range gpus {
		w.GPUs = append(w.GPUs, protocol.GPUState{ID: id, Type: "t4", PagesTotal: 100})
	}
	s.Workers = []protocol.WorkerState{w}
	return s
}

// BenchmarkSwitchSet replaces a set of models by one in which every tenth is another, with its
// weights on the GPUs.
func BenchmarkSwitchSet(b *testing.B) {
	for _, models := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprintf("models-%d", models), func(b *testing.B) {
			all := takeoverState(models, models+models/10, 8)
			sets := [2]protocol.ClockworkState{all, all}
			sets[0].Models, sets[1].Models = all.Models[:models], all.Models[models/10:]
			for i := range sets {
				w := all.Workers[0]
				w.Models = sets[i].Models
				sets[i].Workers = []protocol.WorkerState{w}
			}
			for id := range sets[0].Workers[0].GPUs {
				g := &sets[0].Workers[0].GPUs[id]
				g.PagesTotal = 3 * models
				for _, m := range sets[0].Models {
					g.Models = append(g.Models, m.Name)
				}
				g.PagesUsed = g.PagesTotal
			}
			core, err := New("clockwork", Defaults())
			if err != nil {
				b.Fatal(err)
			}
			core.Step(1, &Activate{Epoch: 1, Issuer: 1, State: sets[0]})
			b.ResetTimer()
			for i := range b.N {
				to := sets[(i+1)%2]
				to.Set = uint64(i + 1)
				core.Step(protocol.Time(i+2), &SetSwitched{State: to})
			}
		})
	}
}
