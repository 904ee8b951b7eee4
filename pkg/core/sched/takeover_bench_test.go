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
