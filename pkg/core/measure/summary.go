package measure

import (
	"slices"
	"time"

	"clockwork/pkg/core/estimate"
	"clockwork/pkg/protocol"
)

// Summarize returns the minimum, median, 99th percentile (linear interpolation)
// and maximum of the samples. If the clock was wrong, the result is not Valid.
// The samples are not changed.
func Summarize(samples []time.Duration) protocol.Measurement {
	if len(samples) == 0 {
		return protocol.Measurement{}
	}
	sorted := slices.Sorted(slices.Values(samples))
	return protocol.Measurement{
		Samples: len(sorted),
		Min:     sorted[0],
		P50:     estimate.Percentile(sorted, 50),
		P99:     estimate.Percentile(sorted, 99),
		Max:     sorted[len(sorted)-1],
	}
}
