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
