package protocol

// EpochStep bounds how far an epoch may lie above the last one that a process has seen.
// An epoch is a revision of a bucket whose few keys are written some times a second: it
// comes here after thousands of years. More than 16 million such steps fit into an epoch.
const EpochStep = 1 << 40

// CredibleEpoch reports whether an epoch that a message names can be one, where seen is
// the highest one seen so far, 0 for none. What is not credible is neither obeyed nor
// remembered: an epoch near the largest number would leave none above it.
func CredibleEpoch(seen, named uint64) bool {
	return named <= seen || named-seen <= EpochStep
}
