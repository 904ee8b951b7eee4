package sim

import (
	"testing"
	"time"

	"clockwork/pkg/lab/workload"
)

// TestAModelSpreadsOverAsManyGPUsAsItNeeds: one cold model at five times what a
// GPU serves, of eight. The first copies take a moment.
func TestAModelSpreadsOverAsManyGPUsAsItNeeds(t *testing.T) {
	for _, policy := range []string{"clockwork", "faithful", "deferred"} {
		c := Defaults(policy)
		c.GPUs, c.MaxBatch = 8, 16
		w, err := workload.Named("open", workload.Options{Seed: 1, Rate: 4000, Length: 2 * time.Second, Copies: 1, Path: "zoo/resnet50_v2"})
		if err != nil {
			t.Fatal(err)
		}
		report, err := Run(c, w, nil)
		if err != nil {
			t.Fatal(err)
		}
		used := 0
		for _, g := range report.GPUs {
			if g.Infers > 100 {
				used++
			}
		}
		if report.Share() < 0.95 || used < 4 {
			t.Errorf("%s: %.3f served in time, by %d GPUs", policy, report.Share(), used)
		}
	}
}
