package frontdoor

import (
	"math"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// request is an infer request that the door has taken and not yet answered.
type request struct {
	id       protocol.RequestID
	clientID string
	model    protocol.ModelSpec
	encoding protocol.Encoding
	reply    string
	tenant   string
	share    quota.Share // until it is taken out of the table

	// arrived is when the SLO began, deadline when it ends.
	arrived, deadline time.Time
	priority          int
	// payload is kept until the outcome: a lost worker loses no request.
	payload   []byte
	batch     int
	generated bool

	// buffered is the request's place in the startup buffer, 0 if it never was
	// there, waited how long it was.
	buffered uint64
	waited   time.Duration
	// handed: it came from the startup buffer, out of which another controller
	// takes it if this one dies. Only others are the scheduler's to answer.
	handed bool
	// reconnects is the bus's count when the request was taken.
	reconnects uint64
	claimed    bool // the scheduler was told that it is answered

	// epoch is the scheduler's that the request was submitted to.
	epoch      uint64
	dispatched time.Time
	worker     string
	before     []string // workers that it was dispatched to earlier, and may come from yet
	cold       bool
	outcome    outcome // once it is answered
	trace      watch.Trace

	place int // in the table's heap
}

// sloOf reads a request's latency target: the header wins over the body.
func sloOf(header nats.Header, p protocol.InferParameters, fallback time.Duration) (time.Duration, *protocol.Error) {
	slo := fallback
	if text := header.Get(protocol.TimeoutHeader); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			return 0, protocol.Errorf(protocol.InvalidDeadline, "header %s: %q is no duration such as 75ms", protocol.TimeoutHeader, text)
		}
		slo = d
	} else if p.SLOMS != nil {
		ms := *p.SLOMS
		if math.IsNaN(ms) || ms <= 0 || ms > float64(protocol.MaxSLO/time.Millisecond) {
			return 0, protocol.Errorf(protocol.InvalidDeadline, "slo_ms is %v; it must be positive and at most %d", ms, protocol.MaxSLO/time.Millisecond)
		}
		slo = time.Duration(ms * float64(time.Millisecond))
	}
	if slo <= 0 || slo > protocol.MaxSLO {
		return 0, protocol.Errorf(protocol.InvalidDeadline, "the SLO is %v; it must be positive and at most %v", slo, protocol.MaxSLO)
	}
	return slo, nil
}

// payloadOf checks a request's inputs against its model and lays them out as a
// worker takes them. No inputs at all ask for generated ones.
func payloadOf(m protocol.ModelSpec, inputs []protocol.Tensor) (payload []byte, batch int, refusal *protocol.Error) {
	if len(inputs) == 0 {
		return nil, 1, nil
	}
	batch, refusal = protocol.BatchOf(m.Inputs, inputs, m.MaxBatch())
	if refusal != nil {
		return nil, 0, refusal
	}
	if len(inputs) == 1 {
		return inputs[0].Data, batch, nil
	}
	payload = make([]byte, 0, int64(batch)*m.ItemBytes())
	for _, spec := range m.Inputs {
		for i := range inputs {
			if inputs[i].Name == spec.Name {
				payload = append(payload, inputs[i].Data...)
			}
		}
	}
	return payload, batch, nil
}

// outputsOf cuts a worker's output into the model's tensors.
func outputsOf(r *request, o *protocol.Output) ([]protocol.Tensor, *protocol.Error) {
	data := o.Data
	if want := int64(r.batch) * r.model.OutputBytes(); o.Items != r.batch || int64(len(data)) != want {
		return nil, protocol.Errorf(protocol.Internal, "the worker answered %d items in %d bytes; expected %d in %d", o.Items, len(data), r.batch, want)
	}
	tensors := make([]protocol.Tensor, 0, len(r.model.Outputs))
	for _, spec := range r.model.Outputs {
		n := int64(r.batch) * spec.Bytes()
		shape := append([]int64{int64(r.batch)}, spec.Shape...)
		tensors = append(tensors, protocol.Tensor{Name: spec.Name, Datatype: spec.Datatype, Shape: shape, Data: data[:n:n]})
		data = data[n:]
	}
	return tensors, nil
}

// submission is the request as the scheduler sees it at this moment.
func (r *request) submission(now time.Time) protocol.Submitted {
	s := protocol.Submitted{JSON: r.encoding == protocol.JSON, Trace: r.trace.TraceContext, Submission: protocol.Submission{
		ID:        r.id,
		Model:     r.model.Name,
		Batch:     r.batch,
		Bytes:     int64(len(r.payload)),
		Budget:    r.deadline.Sub(now),
		Elapsed:   now.Sub(r.arrived),
		Priority:  r.priority,
		Generated: r.generated,
	}}
	if !r.handed && len(r.reply) <= protocol.MaxReply {
		s.Reply = r.reply
	}
	return s
}

// isSubmitted reports whether the scheduler may know who waits for it. It is
// asked of requests that were taken out of the table.
func (r *request) isSubmitted() bool { return !r.handed && r.epoch != 0 }

// dispatch notes which worker runs it now.
func (r *request) dispatch(worker string, cold bool, now time.Time) {
	if r.worker != "" && r.worker != worker {
		r.before = append(r.before, r.worker)
	}
	r.dispatched, r.worker, r.cold = now, worker, r.cold || cold
}

// mayComeFrom reports whether a worker may have run it: one that it was dispatched
// to. A generated input needs no dispatch, so the output of one may come first.
func (r *request) mayComeFrom(worker string) bool {
	return r.worker == worker || r.worker == "" && r.generated || slices.Contains(r.before, worker)
}
