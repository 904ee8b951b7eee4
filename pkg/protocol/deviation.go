package protocol

import "time"

// Deviation is by how much something missed its prediction: over where it took longer, or
// ended later, than predicted, and under where it took less. What was exact is over by 0.
// Metrics, figures and the simulator's report use the two words alike.
func Deviation(predicted, was time.Duration) (by time.Duration, over bool) {
	if was < predicted {
		return predicted - was, false
	}
	return was - predicted, true
}
