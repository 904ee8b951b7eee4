package protocol

// ResultBatch is what a worker answers one issuer at once. The issuer comes
// first, so that everybody else can tell cheaply that it is not meant.
type ResultBatch struct {
	Issuer  uint64
	Results []Result
}

// ClockReading is the scheduler's answer to a worker that asks for its time.
type ClockReading struct {
	Epoch uint64
	Now   Time
}
