package measure

import (
	"fmt"
	"testing"

	"clockwork/pkg/protocol"
)

// A store that does not answer costs seconds for each profile: a job of thousands of models
// begins nonetheless.
func TestReadingAStoreThatDoesNotAnswerIsGivenUp(t *testing.T) {
	keys := make([]Wanted, 1000)
	for i := range keys {
		keys[i].Digest = fmt.Sprint(i)
	}
	for _, row := range []struct {
		fails       func(n int) bool
		asked, read int
	}{
		{func(int) bool { return false }, 1000, 1000},
		{func(int) bool { return true }, mostUnread, 0},
		{func(n int) bool { return n%mostUnread != 0 }, 1000, 334},
		{func(n int) bool { return n >= 10 }, 10 + mostUnread, 10},
	} {
		asked, reading := 0, NewReading(Read{Job: 4, Keys: keys})
		for key, more := reading.Next(); more; key, more = reading.Next() {
			failed := row.fails(asked)
			asked++
			reading.Got(protocol.Profile{Digest: key.Digest}, true, failed)
		}
		if e := reading.Done(); asked != row.asked || len(e.Profiles) != row.read || e.Job != 4 {
			t.Errorf("asked %d times, %d profiles of job %d; want %d, %d", asked, len(e.Profiles), e.Job, row.asked, row.read)
		}
	}
}

// A profile that the store does not have is no failure of the store.
func TestWhatAStoreLacksIsReadOn(t *testing.T) {
	reading := NewReading(Read{Keys: make([]Wanted, 10)})
	asked := 0
	for _, more := reading.Next(); more; _, more = reading.Next() {
		asked++
		reading.Got(protocol.Profile{}, false, false)
	}
	if e := reading.Done(); asked != 10 || len(e.Profiles) != 0 {
		t.Errorf("asked %d times, %d profiles", asked, len(e.Profiles))
	}
}

func TestHeartbeatsNameTheJob(t *testing.T) {
	m, err := New(Config{Issuer: 5, Iterations: 1, ActionTimeout: 1})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(when string, leads bool, want protocol.Heartbeat) {
		t.Helper()
		if h := m.Heartbeat(leads); h.State != want.State || h.Job != want.Job || h.InFlight != want.InFlight || h.Incarnation != 5 {
			t.Errorf("%s: %+v", when, h)
		}
	}
	expect("without a lease", false, protocol.Heartbeat{State: protocol.Standby})
	expect("without a job", true, protocol.Heartbeat{State: protocol.Idle})
	m.Step(0, JobGiven{Job: protocol.ProfileJob{ID: 9, Models: []protocol.ModelSpec{{Name: "a", Digest: "d", BatchSizes: []int{1}}},
		Workers: []protocol.WorkerState{{ID: "w", GPUs: []protocol.GPUState{{Type: "t4"}}}}}})
	expect("with a job", true, protocol.Heartbeat{State: protocol.Busy, Job: 9, InFlight: 1})
	m.Step(0, Abandon{})
	expect("after the term", false, protocol.Heartbeat{State: protocol.Standby})
}
