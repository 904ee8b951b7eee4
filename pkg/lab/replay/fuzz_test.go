package replay

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"slices"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/policies"
	"clockwork/pkg/lab/record"
	"clockwork/pkg/protocol"
)

// FuzzVerify gives cores of every policy what a recording claims after one that
// makes sense: whatever that is, there is a verdict, and emulations of it end.
func FuzzVerify(f *testing.F) {
	whole, _ := simulated(f, "clockwork", 60)
	f.Add([]byte{4, 2}, uint8(0))                            // a tick
	f.Add([]byte{0x0a}, uint8(1))                            // the end
	f.Add([]byte{9, 3, 4, 2}, uint8(2))                      // missing events
	f.Add([]byte{7, 2, 7, 2, 7, 2}, uint8(3))                // heartbeats are due
	f.Add([]byte{8, 1, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(4))    // another hash
	f.Add([]byte{6, 2, 2, 1, 2, 2, 2}, uint8(5))             // answers are reported
	f.Add([]byte{2, 0, 2, 2, 2, 3, 0x80, 1, 0, 4}, uint8(6)) // a submission
	f.Add([]byte{4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}, uint8(0))
	var begun [][]byte
	for _, policy := range policies.Names() {
		begun = append(begun, beginning(f, whole, policy))
	}
	f.Fuzz(func(t *testing.T, claims []byte, policy uint8) {
		file := slices.Concat(begun[int(policy)%len(begun)], block(claims))
		r, err := record.NewReader(bytes.NewReader(file))
		must(t, err)
		m := &spanned{Material: NewMaterial()}
		v, err := Verify(r, m)
		if v == nil || len(v.Machines) == 0 {
			t.Fatalf("no verdict: %v", err)
		}
		if m.last.Sub(m.first) > time.Minute || m.first < 0 {
			return // an emulation of centuries takes long
		}
		if o, err := m.Emulate(v.Policy, v.Config); err == nil {
			Settle(&v.Outcome, o)
		}
	})
}

// spanned is a Material that knows its first and last times.
type spanned struct {
	*Material
	first, last protocol.Time
}

func (s *spanned) Step(now protocol.Time, e sched.Event, out *sched.Output) {
	s.first, s.last = min(s.first, now), max(s.last, now)
	s.Material.Step(now, e, out)
}

// beginning is a recording of a policy that has the first events of another
// one, and no end.
func beginning(t testing.TB, whole []byte, policy string) []byte {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(whole))
	must(t, err)
	var into bytes.Buffer
	w, err := record.NewWriter(&into)
	must(t, err)
	must(t, w.BeginTerm(policy, policies.Defaults(), simulatedTerm))
	for range 30 {
		item, err := r.Next()
		must(t, err)
		if item.Kind == record.Step {
			must(t, w.StepHashed(item.Now, item.Event, 0))
		}
	}
	must(t, w.Flush())
	return into.Bytes()
}

// block frames records.
func block(records []byte) []byte {
	framed := append(binary.AppendUvarint(nil, uint64(len(records))), records...)
	return binary.LittleEndian.AppendUint32(framed, crc32.Checksum(records, crc32.MakeTable(crc32.Castagnoli)))
}
