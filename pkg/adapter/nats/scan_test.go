package bus

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestAScanEndsWhileSomebodyWrites: between any two batches another message is stored, so
// that the broker always says that there is more. Whoever may write one key of a bucket keeps
// nobody from reading it.
func TestAScanEndsWhileSomebodyWrites(t *testing.T) {
	b := open(t)
	const full = 3 // batches before the end of the stream
	batches := 0
	if _, err := b.Control.Subscribe("stub.DIRECT.GET.s", func(m *nats.Msg) {
		var asked struct{ Seq, Batch int }
		if err := json.Unmarshal(m.Data, &asked); err != nil {
			t.Error(err)
		}
		n := asked.Batch
		if batches++; batches > full {
			n = 1
		}
		for i := range n {
			_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Nats-Sequence": {strconv.Itoa(asked.Seq + i)}, "Nats-Time-Stamp": {"2026-01-02T03:04:05Z"}, "Nats-Subject": {"x"}}})
		}
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"204"}, "Nats-Num-Pending": {"1"}}})
	}); err != nil {
		t.Fatal(err)
	}
	seen := 0
	at, err := store{nc: b.Control, api: "stub."}.scan(limited(t), "s", ">", 0, func(record) { seen++ })
	if err != nil || seen != full*scanBatch+1 || at != uint64(seen) {
		t.Errorf("%d messages were read, up to %d, %v", seen, at, err)
	}
}
