package protocol

import (
	"strings"
	"testing"
)

func TestWhatIsMissingForARequest(t *testing.T) {
	for _, row := range []struct {
		serving Serving
		missing string // a part of it
	}{
		{Serving{Stage: Loading}, "the stage is LOADING"},
		{Serving{Profiling, 1, FrontDoorOpen, Capacity{GPUs: 1, Models: 1}}, "the stage is PROFILING"},
		{Serving{Stage: Active, FrontDoor: FrontDoorOpen, Capacity: Capacity{GPUs: 1, Models: 1}}, "no scheduler"},
		{Serving{Active, 1, ServiceAbsent, Capacity{GPUs: 1, Models: 1}}, "no front door is connected"},
		{Serving{Active, 1, FrontDoorOpen, Capacity{Models: 2, Unavailable: 2}}, "no served model is held by a GPU in service"},
		{Serving{Active, 1, FrontDoorOpen, Capacity{}}, "every one is quarantined"},
		{Serving{Active, 1, FrontDoorOpen, Capacity{GPUs: 1, Models: 1}}, ""},
		{Serving{Active, 1, FrontDoorGateway, Capacity{GPUs: 1, Models: 1}}, ""},
		{Serving{Loading, 0, FrontDoorGateway, Capacity{}}, "requests over HTTP are refused until it is ACTIVE"},
		{Serving{Active, 1, FrontDoorOpen, Capacity{GPUs: 1, Models: 2, Unavailable: 1}}, ""},
		{Serving{Active, 1, FrontDoorOpen, Capacity{GPUs: 1, Models: 2, Refused: 1}}, ""},
		{Serving{Active, 1, FrontDoorOpen, Capacity{GPUs: 1, Models: 2, Refused: 2}}, "every one is quarantined"},
		{Serving{Active, 1, FrontDoorOpen, Capacity{GPUs: 1, Models: 2, Unavailable: 1, Refused: 1}}, "every one is quarantined"},
		{Serving{Active, 1, FrontDoorOpen, Capacity{GPUs: 1}}, ""}, // a policy without models
	} {
		if got := row.serving.Missing(); (got == "") != (row.missing == "") || !strings.Contains(got, row.missing) {
			t.Errorf("%+v lacks %q, wanted %q", row.serving, got, row.missing)
		}
	}
	if got := (Capacity{GPUs: 1, Models: 3, Unavailable: 2}).Lacking(); got != "2 of 3 models unavailable" {
		t.Errorf("it says %q", got)
	}
	if got := (Capacity{GPUs: 1, Models: 3}).Lacking(); got != "" {
		t.Errorf("it says %q of a stack that has all", got)
	}
}

func TestWhatMakesAStackUnhealthy(t *testing.T) {
	well := StackState{Stage: Active, Epoch: 1, FrontDoor: FrontDoorOpen, GPUsServing: 1, ModelsServed: 2}
	for _, row := range []struct {
		change func(*StackState)
		says   string // a part of it, "" for a healthy one
	}{
		{func(*StackState) {}, ""},
		{func(s *StackState) { s.ModelsUnavailable = 1 }, ""},
		{func(s *StackState) { s.Blocked = "no profiler for one that came late" }, ""},
		{func(s *StackState) { s.Stage = Loading }, ""},
		{func(s *StackState) { s.Stage, s.Blocked = Profiling, "no profiler" }, "no profiler"},
		{func(s *StackState) { s.Stage, s.Blocked = AwaitingModels, "no worker and no front door" }, "no worker and no front door"},
		{func(s *StackState) { s.GPUsServing, s.ModelsUnavailable = 0, 2 }, "no served model is held"},
		{func(s *StackState) { s.Epoch = 0 }, "no scheduler is active"},
		{func(s *StackState) { s.FrontDoor = ServiceAbsent }, "no front door is connected; start one with clockwork frontdoor"},
		{func(s *StackState) { s.StoreFault = "the disk is full" }, "the disk is full"},
	} {
		s := well
		row.change(&s)
		if got := s.Unhealthy(); (got == "") != (row.says == "") || !strings.Contains(got, row.says) {
			t.Errorf("%+v: %q, wanted %q", s, got, row.says)
		}
	}
}

func TestWhoIsAbsentIsNamedWithItsCommand(t *testing.T) {
	for _, row := range []struct {
		kinds []ServiceKind
		says  string
	}{
		{nil, ""},
		{[]ServiceKind{FrontDoor}, "no front door is connected; start one with clockwork frontdoor"},
		{[]ServiceKind{Worker, Profiler}, "no worker and no profiler are connected; start each with clockwork worker and clockwork profiler"},
		{[]ServiceKind{Worker, Profiler, Scheduler},
			"no worker, no profiler and no scheduler are connected; start each with clockwork worker, clockwork profiler and clockwork scheduler"},
	} {
		if got := AbsentText(row.kinds); got != row.says {
			t.Errorf("%v: %q, wanted %q", row.kinds, got, row.says)
		}
	}
}

func TestAWorkersPagesAreItsOwn(t *testing.T) {
	m := ModelSpec{WeightsBytes: 100, Pages: 7}
	for page, want := range map[int64]int{0: 7, 1: 100, 16: 7, 99: 2, 100: 1, 1000: 1} {
		w := WorkerState{PageSize: page}
		if got := w.SpecOf(m).Pages; got != want {
			t.Errorf("%d pages of %d bytes, expected %d", got, page, want)
		}
	}
}
