package protocol

// ProfileJob is an order to the profiler to measure models on workers.
type ProfileJob struct {
	ID uint64
	// Term is the controller's; a profiler ignores jobs of earlier controllers.
	Term    uint64
	Models  []ModelSpec
	Workers []WorkerState
	// Known are measurements that need not be repeated.
	Known []Profile
}

// ProfileReport is the outcome of a ProfileJob.
type ProfileReport struct {
	ID       uint64
	Profiles []Profile
	Failures []ProfileFailure
}

// ProfileFailure says why a model could not be measured on a type of GPU.
type ProfileFailure struct {
	Digest, GPUType, Reason string
}
