package trace

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// Attributes of OpenTelemetry's semantic conventions use its names; our own begin with
// clockwork and name their unit.

// ofRequest returns the attributes of a request's own span. Unknown values are left out.
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

// ofAction returns the attributes of an action: its plan, and its outcome. Planned times
// count from when the action was decided.
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

// ofDecision returns the attributes of a queue span: what the scheduler saw when it
// decided.
func ofDecision(a *action, attempt int) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("clockwork.model", a.Model),
		attribute.Int("clockwork.attempt", attempt),
		attribute.Int("clockwork.queued", a.Plan.Queued),
		attribute.Int("clockwork.copies", a.Plan.Copies),
	}
}

// ofWork returns the attributes of a GPU's work: predicted duration, measured duration
// and their difference.
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
