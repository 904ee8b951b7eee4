package sched

import (
	"fmt"
	"testing"

	"clockwork/pkg/protocol"
)

// TestACoreSaysWhoIsQuarantined, and for how long: as long as requests are refused.
func TestACoreSaysWhoIsQuarantined(t *testing.T) {
	ends := map[string]float64{"never": 0, "late": 30, "over": 10, "b": 20, "a": 20}
	for at, want := range map[float64]string{10: "a for 10ms, b for 10ms, late for 20ms, ", 20: "late for 10ms, ", 30: ""} {
		said := ""
		for _, q := range quarantining(t, ends).Quarantined(instant(at)) {
			said += fmt.Sprintf("%s for %v, ", q.Name, q.Left)
		}
		if said != want {
			t.Errorf("at %v: %q, expected %q", at, said, want)
		}
	}
	many := map[string]float64{}
	for i := range protocol.MaxQuarantined + 3 {
		many[fmt.Sprintf("m%03d", i)] = 1000
	}
	if list := quarantining(t, many).Quarantined(0); len(list) != protocol.MaxQuarantined || list[0].Name != "m003" {
		t.Errorf("%d are said, the first is %s", len(list), list[0].Name)
	}
}

// TestWhatIsRefusedIsNoCapacity: models that a GPU can hold, as long as they are quarantined,
// and those that none can hold by name, as many as a heartbeat takes.
func TestWhatIsRefusedIsNoCapacity(t *testing.T) {
	c := quarantining(t, map[string]float64{"never": 0, "late": 30, "over": 10})
	w := protocol.WorkerState{ID: "w", Incarnation: 1, GPUs: []protocol.GPUState{{Type: "t4", PagesTotal: 64}}}
	for _, m := range c.models {
		w.Models = append(w.Models, m.spec)
	}
	c.Step(0, &WorkerJoined{State: w})
	for at, want := range map[float64]int{0: 2, 10: 1, 30: 0} {
		if got := c.Capacity(instant(at)); got.Refused != want || got.Unavailable != 0 || len(c.Unavailable()) != 0 {
			t.Errorf("at %v: %+v, expected %d refused", at, got, want)
		}
	}
	many := map[string]float64{}
	for i := range protocol.MaxUnavailable + 3 {
		many[fmt.Sprintf("m%03d", i)] = 1000
	}
	c = quarantining(t, many)
	got := c.Capacity(0)
	if names := c.Unavailable(); got.Unavailable != len(many) || got.Refused != 0 || len(names) != protocol.MaxUnavailable {
		t.Errorf("without a worker: %+v, by name %d: %v", got, len(names), names)
	}
}

// quarantining is a core whose models are quarantined until then, in ms; 0 for never.
func quarantining(t *testing.T, until map[string]float64) *engine {
	var parts []part
	for name := range until {
		parts = append(parts, part{name: name, exec: []float64{1}})
	}
	c := newRig(t, "clockwork", Defaults(), parts...).core
	for _, m := range c.models {
		m.quarantined = instant(until[m.spec.Name])
		c.quarantinedUntil = max(c.quarantinedUntil, m.quarantined)
	}
	return c
}
