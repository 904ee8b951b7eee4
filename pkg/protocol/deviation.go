package protocol

import "time"

// Deviation returns the error of a prediction: over if the work took longer, or ended
// later, than predicted, under if it took less. An exact prediction is over by 0.
// Metrics, live statistics and the simulator's report use these two words.
func Deviation(predicted, was time.Duration) (by time.Duration, over bool) {
	if was < predicted {
		return predicted - was, false
	}
	return was - predicted, true
}
