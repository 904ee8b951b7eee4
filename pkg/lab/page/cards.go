package page

import (
	"fmt"

	"clockwork/pkg/lab/sim"
	"clockwork/pkg/watch/terminal"
)

// Cards returns one card per run: goodput first, then shares, latencies and
// usage.
func Cards(runs []*sim.Report) []Card {
	var cards []Card
	for i, r := range runs {
		s := r.Summary(0)
		c := Card{Title: r.Policy, Value: fmt.Sprintf("%.0f", r.Goodput()), Unit: "requests/s in SLO", Colour: i, Part: r.Share()}
		c.Lines = append(c.Lines, shareOf(r)+" of what was asked for")
		if r.Offered == 0 {
			c.Part, c.Lines = -1, []string{"nothing was asked for"}
		}
		if r.OK() > 0 {
			c.Lines = append(c.Lines, fmt.Sprintf("p50 %s, p99 %s", terminal.Duration(s.Latency.P50), terminal.Duration(s.Latency.P99)))
		}
		c.Lines = append(c.Lines, fmt.Sprintf("GPUs busy %.0f%%, PCIe %.0f%%", 100*s.GPU, 100*s.PCIe))
		cards = append(cards, c)
	}
	return cards
}

// shareOf formats the share in SLO; it shows 100 % only if no request is
// missing.
func shareOf(r *sim.Report) string {
	if r.Share() < 1 && r.Share() > 0.99995 {
		return "99.99%"
	}
	return fmt.Sprintf("%.2f%%", 100*r.Share())
}
