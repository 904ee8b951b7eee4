package protocol

import (
	"fmt"
	"strings"
)

// Capacity is what a scheduler can execute on now.
type Capacity struct {
	// GPUs are those that take work: they are not stalled, and can hold a served model.
	GPUs int
	// Models are the served ones; Unavailable are those of them that no GPU can hold, since
	// no worker that is there could load them, or every GPU that could is stalled. Refused are
	// further ones, whose requests are refused for a while for their crashes.
	Models, Unavailable, Refused int
}

// refusesAll reports whether every model that a GPU can hold is refused for its crashes.
func (c Capacity) refusesAll() bool { return c.Refused > 0 && c.Refused+c.Unavailable >= c.Models }

// Lacking says how many models cannot be served, "" for none.
func (c Capacity) Lacking() string {
	if c.Unavailable == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d models unavailable", c.Unavailable, c.Models)
}

// Serving is what decides whether a request that is sent now would be executed.
type Serving struct {
	Stage     Stage
	Epoch     uint64       // the active scheduler's, 0 for none
	FrontDoor ServiceState // FrontDoorOpen, FrontDoorGateway or ServiceAbsent
	Capacity  Capacity
}

// Missing returns what is missing for a request that is sent now, "" if it would be
// executed. Probes, health checks and commands that wait go by it.
func (s Serving) Missing() string {
	switch {
	case s.Stage != Active && s.FrontDoor == FrontDoorGateway:
		return "the stage is " + s.Stage.String() + "; requests over HTTP are refused until it is " + Active.String()
	case s.Stage != Active:
		return "the stage is " + s.Stage.String() + "; requests wait until it is " + Active.String()
	case s.FrontDoor != FrontDoorOpen && s.FrontDoor != FrontDoorGateway:
		return AbsentText([]ServiceKind{FrontDoor})
	case s.Epoch == 0:
		return "no scheduler is active"
	case s.Capacity.Models == 0 && s.Capacity.GPUs == 0, s.Capacity.refusesAll():
		return "no model is served: every one is quarantined"
	case s.Capacity.GPUs > 0:
		return ""
	}
	return "no served model is held by a GPU in service: no worker is connected that could load one, or every GPU that could is stalled"
}

// Serving returns what the state says of it.
func (s *StackState) Serving() Serving {
	return Serving{s.Stage, s.Epoch, s.FrontDoor, Capacity{s.GPUsServing, s.ModelsServed, s.ModelsUnavailable, s.ModelsRefused}}
}

// Unhealthy returns why the stack cannot do its work, "" if it can: a request that is sent now
// is executed, or before ACTIVE, is kept, and nothing is missing on the way there but models
// and time.
func (s *StackState) Unhealthy() string {
	switch {
	case s.StoreFault != "":
		return s.StoreFault
	case s.Stage == Active:
		return s.Serving().Missing()
	}
	return s.Blocked
}

// AbsentText says that no service of these kinds is connected, and how one is started; ""
// for no kinds.
func AbsentText(kinds []ServiceKind) string {
	if len(kinds) == 0 {
		return ""
	}
	names, commands := make([]string, len(kinds)), make([]string, len(kinds))
	for i, kind := range kinds {
		names[i], commands[i] = "no "+kind.Noun(), "clockwork "+string(kind)
	}
	if len(kinds) == 1 {
		return names[0] + " is connected; start one with " + commands[0]
	}
	last := len(kinds) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last] + " are connected; start each with " +
		strings.Join(commands[:last], ", ") + " and " + commands[last]
}
