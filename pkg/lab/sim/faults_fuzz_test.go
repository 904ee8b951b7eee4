package sim

import (
	"math"
	"strings"
	"testing"
)

// FuzzParseFaults: what is accepted makes sense, and means the same when it is
// said twice.
func FuzzParseFaults(f *testing.F) {
	for _, seed := range []string{"", "all", "all=1", "loss", "loss=1%", "loss=NaN%", "loss=-1%", "loss=1e999%", "kill=5s:1s,clock=50ms:20ppm", "kill=:", "kill=0s", "reorder=1%:-1s",
		"clock=9999999h", "clock=1s:NaNppm", "slow=1ns:1ns", ",", "kill=20s:1s,kill=,all", strings.Repeat("loss,", 10_000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		faults, err := ParseFaults(text)
		if err != nil {
			if text := err.Error(); !strings.HasPrefix(text, "read faults: ") && !strings.HasPrefix(text, "validate faults: ") {
				t.Fatal(err)
			}
			return
		}
		if err := faults.Validate(); err != nil {
			t.Fatalf("accepted once, then %v", err)
		}
		for _, part := range []float64{faults.Loss, faults.Duplicate, faults.Reorder, faults.Drift} {
			if math.IsNaN(part) || part < 0 || part > 1 {
				t.Fatalf("%v of the messages", part)
			}
		}
		if again, err := ParseFaults(text + "," + text); err != nil || again != faults {
			t.Fatalf("once %+v, twice %+v, %v", faults, again, err)
		}
	})
}
