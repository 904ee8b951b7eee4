package wire

import (
	"fmt"
	"testing"

	"clockwork/pkg/protocol"
)

// What a front door says of requests: alone, and as many as leave together.
func BenchmarkSubmissions(b *testing.B) {
	for _, n := range []int{1, 16} {
		batch := protocol.SubmissionBatch{Door: 0xfedcba9876543210}
		for i := range n {
			batch.Requests = append(batch.Requests, protocol.Submitted{Reply: "_INBOX.Cg7pqFzD2vRMXjCmwNc2Xl.Cg7pqFzD", Submission: protocol.Submission{ID: protocol.RequestID{Door: batch.Door, Seq: 1_000_000 + uint64(i)}, Model: "resnet18_v2-7", Batch: 1, Bytes: 602112, Budget: 99_812_345, Elapsed: 187_655}})
		}
		body := Submissions.Encode(&batch)
		b.Run(fmt.Sprintf("encode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			var out []byte
			for b.Loop() {
				out = Submissions.Append(out[:0], &batch)
			}
			b.ReportMetric(float64(len(body)), "bytes")
		})
		b.Run(fmt.Sprintf("decode/%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, fault := Submissions.Decode(body); fault != nil {
					b.Fatal(fault)
				}
			}
		})
	}
}
