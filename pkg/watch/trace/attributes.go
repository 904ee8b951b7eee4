package trace

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Attributes of the standard's conventions have its names; our own begin with
// clockwork and say their unit.

// ofRequest are those of a request's own span. What is not known is left out.
func ofRequest(r *watch.Request) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.operation.name", "infer"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.consumer.group.name", "frontdoor"),
		attribute.Int64("messaging.message.body.size", r.Bytes),
		attribute.String("clockwork.code", string(r.Code)),
	}
	for _, known := range []struct{ name, value string }{
		{"messaging.destination.name", r.Subject}, {"clockwork.model", r.Model}, {"clockwork.client.id", r.Client},
		{"clockwork.tenant", r.Tenant}, {"clockwork.worker", r.Worker},
	} {
		if known.value != "" {
			list = append(list, attribute.String(known.name, known.value))
		}
	}
	if r.ID == (protocol.RequestID{}) {
		return list
	}
	list = append(list,
		attribute.String("clockwork.request.id", r.ID.String()),
		attribute.Int("clockwork.items", r.Items),
		ms("clockwork.slo_ms", r.SLO),
		attribute.Bool("clockwork.cold", r.Cold),
		attribute.Bool("clockwork.generated", r.Generated))
	if r.Buffered > 0 {
		list = append(list, ms("clockwork.buffered_ms", r.Buffered))
	}
	if r.Batch > 0 {
		list = append(list, attribute.Int("clockwork.batch", r.Batch))
	}
	return list
}

// ofAction are those of an action: what was planned, and what came of it. Times of
// the plan count from when it was decided.
func ofAction(a *action) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("clockwork.worker", a.Worker),
		attribute.Int("clockwork.gpu", a.GPU),
		attribute.String("clockwork.model", a.Model),
		attribute.Int64("clockwork.action.id", int64(a.ID)),
		attribute.Int64("clockwork.epoch", int64(a.Epoch)),
		ms("clockwork.expected_ms", a.Expected),
		ms("clockwork.planned.begin_ms", a.Plan.Begin.Sub(a.Sent)),
		ms("clockwork.planned.end_ms", a.Plan.End.Sub(a.Sent)),
	}
	if a.Kind == protocol.Infer {
		list = append(list, attribute.Int("clockwork.batch", a.Batch), attribute.Int("clockwork.members", a.members))
	}
	if _, late, known := a.Completed(); known {
		list = append(list, ms("clockwork.late_ms", late))
	}
	if r := a.Result; r != nil {
		list = append(list, attribute.String("clockwork.code", string(r.Code)))
		if r.Begin > r.Received && r.Received > 0 {
			list = append(list, ms("clockwork.worker.queue_ms", r.Begin.Sub(r.Received)))
		}
	}
	return list
}

// ofDecision are those of a queue's end: what the scheduler saw when it decided.
func ofDecision(a *action, attempt int) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("clockwork.model", a.Model),
		attribute.Int("clockwork.attempt", attempt),
		attribute.Int("clockwork.queued", a.Plan.Queued),
		attribute.Int("clockwork.copies", a.Plan.Copies),
	}
}

// ofWork are those of a GPU's work: how long it was thought to take, and how much
// longer it took.
func ofWork(a *action) []attribute.KeyValue {
	return []attribute.KeyValue{
		ms("clockwork.expected_ms", a.Expected),
		ms("clockwork.took_ms", a.Took()),
		ms("clockwork.error_ms", a.Took()-a.Expected),
	}
}

func ms(name string, d time.Duration) attribute.KeyValue {
	return attribute.Float64(name, float64(d)/float64(time.Millisecond))
}
