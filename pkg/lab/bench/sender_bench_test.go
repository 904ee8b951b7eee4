package bench

import (
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// BenchmarkSender sends for a second at a rate, to a front door that answers at
// once and a broker, both in this process, and says how late requests were sent.
func BenchmarkSender(b *testing.B) {
	for _, rate := range []float64{10_000, 50_000} {
		b.Run(strconv.Itoa(int(rate)), func(b *testing.B) {
			d := newDoor(b)
			answer := wire.EncodeResponse(protocol.Msgpack, &protocol.InferResponse{ModelName: "m", Parameters: protocol.ResponseParameters{BatchSize: 1}})
			d.answers(func(m *nats.Msg) {
				if err := m.Respond(answer); err != nil {
					b.Error(err)
				}
			})
			c := d.config(2, workload.Poisson{Rate: workload.Always(rate)})
			c.Workload.Length, c.Warmup = 1200*msec, 200*msec
			for b.Loop() {
				r, err := Run(b.Context(), c, nil)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(r.Lateness.P50)/1e3, "late-p50-us")
				b.ReportMetric(float64(r.Lateness.P99)/1e3, "late-p99-us")
				b.ReportMetric(float64(r.Total.Latency.P50)/1e3, "latency-p50-us")
				b.ReportMetric(r.Total.OfferedRate, "sent/s")
			}
		})
	}
}
