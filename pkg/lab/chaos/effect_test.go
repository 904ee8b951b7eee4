package chaos

import (
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

const ms = time.Millisecond

// steady is one request every 10 ms for so long, each answered OK after 5 ms.
func steady(length time.Duration) []Outcome {
	var all []Outcome
	for at := time.Duration(0); at < length; at += 10 * ms {
		all = append(all, Outcome{At: at, Answered: at + 5*ms, Code: protocol.OK, Replies: 1})
	}
	return all
}

func TestNothingHappens(t *testing.T) {
	e := EffectOf(steady(3*time.Second), 100*ms, time.Second)
	if e.Sent != 300 || e.OK != 300 || e.Lost != 0 || e.Before != 1 || e.Heal != 0 || !e.Healed || e.Late+e.Duplicates+e.Unanswered > 0 {
		t.Errorf("%+v", e)
	}
}

// TestAnOutageIsMeasured from the fault to the first tenth of a second from which
// on all is well, by what was due then. A blip later is none.
func TestAnOutageIsMeasured(t *testing.T) {
	all := steady(4 * time.Second)
	for i := range all {
		if all[i].At >= 1200*ms && all[i].At < 1750*ms {
			all[i].Code, all[i].Answered = protocol.DeadlineExceeded, all[i].At+100*ms
		}
	}
	for _, i := range []int{300, 301} {
		all[i].Code = protocol.DeadlineExceeded
	}
	e := EffectOf(all, 100*ms, time.Second)
	if e.Heal != 800*ms || !e.Healed || e.Lost != 57 || e.Errors[protocol.DeadlineExceeded] != 57 || e.OK != 343 {
		t.Errorf("%+v", e)
	}
}

func TestOneLostRequestIsNoOutage(t *testing.T) {
	all := steady(3 * time.Second)
	all[150].Code = protocol.WorkerLost
	if e := EffectOf(all, 100*ms, time.Second); e.Heal != 0 || e.Lost != 1 {
		t.Errorf("%+v", e)
	}
}

// TestWhatDoesNotHealIsSaid also where the run is too short to tell.
func TestWhatDoesNotHealIsSaid(t *testing.T) {
	all := steady(3 * time.Second)
	for i := range all {
		if all[i].At >= 1500*ms && all[i].At < 2500*ms {
			all[i].Replies = 0
		}
	}
	if e := EffectOf(all, 100*ms, 1450*ms); e.Healed || e.Unanswered != 100 {
		t.Errorf("%+v", e)
	}
}

func TestBrokenPromisesAreCounted(t *testing.T) {
	all := steady(2 * time.Second)
	all[10].Replies = 2
	all[11].Answered = all[11].At + 151*ms
	all[12].Answered = all[12].At + 150*ms // just in time
	all[14].Code, all[14].Answered = protocol.WorkerLost, all[14].At+time.Second
	all[13] = Outcome{At: all[13].At, Unsent: true}
	if e := EffectOf(all, 100*ms, time.Second); e.Duplicates != 1 || e.Late != 1 || e.Unsent != 1 || e.LateErrors != 1 || e.OK != 197 {
		t.Errorf("%+v", e)
	}
}

// What was lost before the fault is not the fault's.
func TestLossesBeforeTheFaultAreCountedApart(t *testing.T) {
	all := steady(2 * time.Second)
	all[3].Code = protocol.DeadlineExceeded
	all[150].Code = protocol.WorkerLost
	all[151].Code = protocol.DeadlineExceeded
	e := EffectOf(all, 100*ms, time.Second)
	since := e.Since()
	if e.Lost != 2 || since.Errors[protocol.DeadlineExceeded] != 1 || since.Errors[protocol.WorkerLost] != 1 || e.Earlier.Errors[protocol.DeadlineExceeded] != 1 || since.Sent != 100 {
		t.Errorf("%+v since, %+v before", since, e.Earlier)
	}
}
