package integration

import (
	"sync"
	"testing"
	"time"

	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
)

// readWithin bounds the time in which a killed front door loses requests without
// a trace. Requests may be on their way while it dies: the broker delivers its
// share until the process has ended. Others were read but not yet submitted. The
// bound is for a busy machine and includes the time until the broker sees the
// closed connection.
const readWithin = 50 * time.Millisecond

// reachWithin is the same bound when the broker dies that a client and services
// are connected to: until both have noticed and reached another broker.
const reachWithin = time.Second

// unread counts the requests without an answer that may have been on their way
// to a front door that was killed between two instants.
func unread(outcomes []chaos.Outcome, killed, ended, within time.Duration) (n int) {
	for _, o := range outcomes {
		if !o.Unsent && o.Replies == 0 && o.At > killed-within && o.At < ended+within {
			n++
		}
	}
	return n
}

// doorSLO is shorter than the detection of a lost front door.
const doorSLO = 400 * time.Millisecond

// strikeDoor injects a fault into a front door while all GPUs are hung, so that
// requests are in flight. It returns the outcomes of all requests, and the start
// and the end of the fault.
func strikeDoor(t *testing.T, fault chaos.Fault) (outcomes []chaos.Outcome, began, ended time.Duration) {
	m := newMatrix(t, scene{})
	m.active()
	load := chaos.Load{Rate: 500, SLO: doorSLO}
	for _, copy := range []string{"1", "2", "3", "4", "5", "6"} {
		load.Models = append(load.Models, "resnet18_v2-"+copy)
	}
	traffic, err := chaos.StartTraffic(m.stack.URL, load)
	m.must(err)
	m.traffic = traffic
	m.flows(200)
	m.must(m.stack.Await(m.ctx, "no request that waits in the startup buffer", func(s *protocol.StackState) bool { return s.Buffered == 0 }))
	var pauses sync.WaitGroup
	for _, name := range []string{"worker-1", "worker-2"} {
		worker, err := m.stack.Service(name)
		m.must(err)
		pauses.Go(func() { _ = worker.Inflict(m.ctx, chaos.Pause, 400*time.Millisecond) })
	}
	time.Sleep(200 * time.Millisecond)
	door, err := m.stack.Service("controller-1")
	m.must(err)
	began = time.Since(traffic.Began)
	m.must(door.Inflict(m.ctx, fault, 2*time.Second))
	ended = time.Since(traffic.Began)
	pauses.Wait()
	m.flows(200)
	return traffic.Stop(2 * time.Second), began, ended
}

func TestG1AKilledFrontDoorsClientsAreAnswered(t *testing.T) {
	outcomes, killed, ended := strikeDoor(t, chaos.Kill)
	e := chaos.EffectOf(outcomes, doorSLO, killed)
	mayTake := unread(outcomes, killed, ended, readWithin)
	t.Logf("sent %d, served %d, errors %v, unanswered %d; it took %v to die", e.Sent, e.OK, e.Errors, e.Unanswered, ended-killed)
	if e.Errors[protocol.FrontDoorLost] < 20 {
		t.Errorf("%d requests were in flight at the door: this proves little", e.Errors[protocol.FrontDoorLost])
	}
	if e.Duplicates > 0 || e.Unanswered > mayTake {
		t.Errorf("%d were answered twice, %d not at all, of which %d may have been unread", e.Duplicates, e.Unanswered, mayTake)
	}
	for _, o := range outcomes {
		if o.Code == protocol.FrontDoorLost && o.Answered > max(o.At+doorSLO, ended+protocol.HeartbeatLost)+400*time.Millisecond {
			t.Errorf("a request of %v, %v after the kill, was told at %v", o.At, o.At-killed, o.Answered)
		}
	}
}

// TestG1AStoppedFrontDoorAnswersOnce checks that a paused front door answers
// when it continues, and that no other instance answered in its place.
func TestG1AStoppedFrontDoorAnswersOnce(t *testing.T) {
	for _, fault := range []chaos.Fault{chaos.Pause, chaos.Partition} {
		t.Run(fault.String(), func(t *testing.T) {
			outcomes, began, ended := strikeDoor(t, fault)
			e := chaos.EffectOf(outcomes, doorSLO, began)
			held := 0 // in flight at the front door when it stopped, and answered by it afterwards
			for _, o := range outcomes {
				if o.At < began-readWithin && o.Answered > ended-readWithin {
					held++
				}
			}
			t.Logf("sent %d, served %d, late %d, errors %v, unanswered %d, held %d", e.Sent, e.OK, e.Late, e.Errors, e.Unanswered, held)
			if held < 10 {
				t.Errorf("%d requests were in flight at the door: this proves little", held)
			}
			if e.Duplicates > 0 || e.Unanswered > 0 || e.Errors[protocol.FrontDoorLost] > 0 {
				t.Errorf("%d were answered twice, %d not at all, %d by the scheduler", e.Duplicates, e.Unanswered, e.Errors[protocol.FrontDoorLost])
			}
		})
	}
}
