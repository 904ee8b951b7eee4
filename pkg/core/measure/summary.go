package measure

import (
	"slices"
	"time"

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
	at := func(q float64) time.Duration {
		place := q * float64(len(sorted)-1)
		low := int(place)
		high := min(low+1, len(sorted)-1)
		return sorted[low] + time.Duration((place-float64(low))*float64(sorted[high]-sorted[low]))
	}
	return protocol.Measurement{
		Samples: len(sorted),
		Min:     sorted[0],
		P50:     at(0.5),
		P99:     at(0.99),
		Max:     sorted[len(sorted)-1],
	}
}
