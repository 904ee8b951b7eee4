package frontdoor

import (
	"fmt"
	"testing"
	"time"

	"clockwork/pkg/protocol"
)

// ended is a request that had its answer after 10 ms.
func ended(seq uint64, client string, code protocol.Code) answered {
	return answered{
		seq: seq, client: client, model: "m", arrived: time.Unix(int64(seq), 0), slo: 100 * time.Millisecond, dispatched: 4 * time.Millisecond, ended: 10 * time.Millisecond,
		outcome: outcome{code: code, queue: time.Millisecond, input: time.Millisecond, exec: 2 * time.Millisecond, output: time.Millisecond},
	}
}

func TestADoorRemembersTheLatestOfAClientsId(t *testing.T) {
	k := newRecent()
	for i := range uint64(3 * protocol.MaxAlike) {
		k.add(ended(i+1, "cat", protocol.OK))
	}
	k.add(ended(99, "dog", protocol.Overloaded))
	found := k.find(func(a *answered) bool { return a.client == "cat" })
	if len(found) != protocol.MaxAlike || found[0].seq != 3*protocol.MaxAlike || found[7].seq != 3*protocol.MaxAlike-7 {
		t.Errorf("%d found, the first %d", len(found), found[0].seq)
	}
	if found := k.find(func(a *answered) bool { return a.outcome.code != protocol.OK }); len(found) != 1 || found[0].client != "dog" {
		t.Errorf("missed: %+v", found)
	}
}

// However much is served, what was missed is remembered, and the memory is bounded.
func TestWhatADoorRemembersIsBounded(t *testing.T) {
	k := newRecent()
	k.add(ended(1, "miss", protocol.DeadlineExceeded))
	for i := range uint64(2*keptServed + 5) {
		k.add(ended(i+2, fmt.Sprint(i), protocol.OK))
	}
	by := func(client string) int { return len(k.find(func(a *answered) bool { return a.client == client })) }
	if by("miss") != 1 || by("0") != 0 || by(fmt.Sprint(2*keptServed+4)) != 1 || by(fmt.Sprint(keptServed+4)) != 0 || by(fmt.Sprint(keptServed+5)) != 1 {
		t.Error("other requests are remembered than the latest")
	}
	if k.served.Len() != keptServed || k.missed.Len() != 1 {
		t.Errorf("%d and %d are kept", k.served.Len(), k.missed.Len())
	}
}

func TestThePartsOfARequestAreItsLatency(t *testing.T) {
	a := ended(7, "cat", protocol.OK)
	d := a.record(0xff)
	sum := d.SchedulerMS + d.QueueMS + d.InputMS + d.ExecMS + d.OutputMS + d.ReplyMS
	if d.ID != "00000000000000ff:7" || d.LatencyMS != 10 || sum != 10 || d.ReplyMS != 1 || d.SLOMS != 100 {
		t.Errorf("%+v", d)
	}
	refused := answered{outcome: outcome{code: protocol.BadMessage}}
	if d := refused.record(0xff); d.ID != "" || d.LatencyMS != 0 {
		t.Errorf("what never was a request: %+v", d)
	}
}
