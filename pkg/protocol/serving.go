package protocol

// Serving is what decides whether a request that is sent now would be executed.
type Serving struct {
	Stage Stage
	Epoch uint64 // the active scheduler's, 0 for none
	GPUs  int    // that take the scheduler's work
}

// Missing returns what is missing for a request that is sent now, "" if it would be
// executed. Probes, health checks and commands that wait go by it.
func (s Serving) Missing() string {
	switch {
	case s.Stage != Active:
		return "the stage is " + s.Stage.String() + "; requests wait until it is " + Active.String()
	case s.Epoch == 0:
		return "no scheduler is active"
	case s.GPUs == 0:
		return "no worker is in service: none is connected that holds the models, or every GPU is stalled"
	}
	return ""
}

// Serving returns what the state says of it.
func (s *StackState) Serving() Serving { return Serving{s.Stage, s.Epoch, s.GPUsServing} }
