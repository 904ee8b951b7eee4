package protocol

// ResultBatch is a worker's results for one issuer. The issuer comes first, so that
// other receivers can skip the batch cheaply.
type ResultBatch struct {
	Issuer  uint64
	Results []Result
}

// ClockReading is the scheduler's answer to a worker that queries its clock.
type ClockReading struct {
	Epoch uint64
	Now   Time
}
