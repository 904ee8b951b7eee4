package bus

import (
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// What is larger than a message comes in several, in order, and claims before requests.
func TestWhatIsTooLargeIsCut(t *testing.T) {
	broker, err := StartServer(ServerConfig{Host: "127.0.0.1", Port: -1, DataDir: t.TempDir(), MaxPayload: protocol.MinMessage})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { StopServer(broker) })
	nc, err := Connect(broker.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	sub, err := nc.SubscribeSync("s")
	if err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	batch := protocol.SubmissionBatch{Door: 1, Epoch: 2}
	for i := range n {
		batch.Answered = append(batch.Answered, 1<<40+uint64(i))
		batch.Withdrawn = append(batch.Withdrawn, 1<<41+uint64(i))
		if i%10 == 0 {
			s := protocol.Submitted{Reply: strings.Repeat("r", protocol.MaxReply)}
			s.ID = protocol.RequestID{Door: 1, Seq: uint64(i)}
			batch.Requests = append(batch.Requests, s)
		}
	}
	if err := PublishCut(nc, wire.Submissions, "s", &batch, HalfBatches); err != nil {
		t.Fatal(err)
	}
	claims, requests, withdrawals := 0, 0, 0
	for claims < n || requests < n/10 || withdrawals < n {
		m, err := sub.NextMsg(30 * time.Second)
		if err != nil {
			t.Fatalf("after %d claims and %d requests: %v", claims, requests, err)
		}
		got, fault := wire.Submissions.Decode(m.Data)
		if fault != nil || got.Door != 1 || got.Epoch != 2 || requests+withdrawals > 0 && len(got.Answered) > 0 {
			t.Fatalf("%v, door %d, epoch %d, %d claims after %d requests", fault, got.Door, got.Epoch, len(got.Answered), requests)
		}
		for _, seq := range got.Answered {
			if seq != 1<<40+uint64(claims) {
				t.Fatalf("claim %d is %d", claims, seq)
			}
			claims++
		}
		for _, seq := range got.Withdrawn {
			if seq != 1<<41+uint64(withdrawals) {
				t.Fatalf("withdrawal %d is %d", withdrawals, seq)
			}
			withdrawals++
		}
		for _, s := range got.Requests {
			if s.ID.Seq != uint64(10*requests) {
				t.Fatalf("request %d is %d", requests, s.ID.Seq)
			}
			requests++
		}
	}
}
