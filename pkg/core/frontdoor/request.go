package frontdoor

import (
	"math"
	"slices"
	"strings"
	"time"

	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
)

// Request is a message of a client that was admitted. A driver reads it and owns
// Driver alone.
type Request struct {
	// Number counts those that were admitted, from 1; 0 of one that came out of the
	// startup buffer.
	Number uint64
	ID     protocol.RequestID // zero until it is accepted
	// Name is the model's, Model its description; Known: there is such a model.
	Name  string
	Model protocol.ModelSpec
	Known bool
	// ClientID and Priority are the client's, Encoding and Reply say how and where it
	// is answered, Tenant who it is.
	ClientID      string
	Outputs       []string // the client wants these, by name; all if there are none
	Priority      int
	Encoding      protocol.Encoding
	Reply, Tenant string
	// Bytes are those of the message.
	Bytes int
	// Arrived is when the SLO began, Deadline when it ends; zero of a request that was
	// answered while it waited for activation.
	Arrived, Deadline protocol.Time
	// Payload is kept until the outcome: a lost worker loses no request.
	Payload   protocol.Payload
	Batch     int
	Generated bool
	// Beside: it is decoded beside other work.
	Beside bool
	// Waited is how long it was in the startup buffer, Buffered its number there, 0 if
	// it never was.
	Waited   time.Duration
	Buffered uint64
	// Dispatched is when it was given to Worker last; Cold: its weights had to be loaded.
	Dispatched protocol.Time
	Worker     string
	Cold       bool
	// Driver is the driver's own.
	Driver any `json:"-"`

	crashes    uint8 // the most that a scheduler said (protocol.Dispatch.Crashes)
	share      quota.Share
	direct     bool     // Inbound.Direct
	gone       bool     // its client went away
	accepting  bool     // it is served here, rather than stored
	slots      int      // of SlowSlots
	before     []string // workers that it was given to earlier, and may come from yet
	early      []early  // outputs that wait for the notice of their dispatch
	epoch      uint64   // of the scheduler that it was submitted to, 0 for none
	breaks     uint64   // of connections, when it was accepted
	place      int      // in the table's heap
	inputWaits bool     // in largeInputs.queue
	refusal    *protocol.Error
	queryAt    protocol.Time // when the next question about it is due
	queryEpoch uint64
	outage     time.Duration // the longest since the first question
	owned      bool          // the scheduler said Yours
}

// Submission is the request as the scheduler sees it at this moment. A question whose
// the answer is has no budget.
func (r *Request) Submission(now protocol.Time) protocol.Submitted {
	s := protocol.Submitted{JSON: r.Encoding == protocol.JSON, Submission: protocol.Submission{
		ID:        r.ID,
		Model:     r.Model.Name,
		Batch:     r.Batch,
		Bytes:     int64(len(r.Payload)),
		Budget:    r.Deadline.Sub(now),
		Elapsed:   now.Sub(r.Arrived),
		Priority:  r.Priority,
		Generated: r.Generated,
		Crashes:   r.crashes,
	}}
	if len(r.Reply) <= protocol.MaxReply {
		s.Reply = r.Reply
	}
	return s
}

// dispatch notes which worker runs it now, and what ended with it before: the next
// scheduler must know that too.
func (r *Request) dispatch(d *protocol.Dispatch, now protocol.Time) {
	worker := d.Worker
	r.crashes = max(r.crashes, d.Crashes)
	if r.Worker != "" && r.Worker != worker {
		r.before = append(r.before, r.Worker)
	}
	r.Dispatched, r.Worker, r.Cold = now, worker, r.Cold || d.Cold
}

// mayComeFrom reports whether a worker may have run it: one that it was dispatched to.
func (r *Request) mayComeFrom(worker string) bool {
	return r.Worker == worker || slices.Contains(r.before, worker)
}

// ReadSLO reads a request's latency target: the header's text wins over the body.
func ReadSLO(header string, p protocol.InferParameters, fallback time.Duration) (time.Duration, *protocol.Error) {
	slo := fallback
	if header != "" {
		d, err := time.ParseDuration(header)
		if err != nil {
			return 0, protocol.Errorf(protocol.InvalidDeadline, "header %s: %q is no duration such as 75ms", protocol.TimeoutHeader, header)
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

// Layout checks a request's inputs against its model and lays them out as a worker
// takes them: one tensor after the other, in the order of the model. No inputs at all
// ask for generated ones. The payload may alias the inputs.
func Layout(m *protocol.ModelSpec, inputs []protocol.Tensor) (payload []byte, batch int, refusal *protocol.Error) {
	if len(inputs) == 0 {
		return nil, 1, nil
	}
	batch, refusal = m.BatchOf(inputs)
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

// CheckOutputs refuses names that are not those of the model's outputs.
func CheckOutputs(m *protocol.ModelSpec, names []string) *protocol.Error {
	for _, name := range names {
		if !slices.ContainsFunc(m.Outputs, func(spec protocol.TensorSpec) bool { return spec.Name == name }) {
			var have []string
			for _, spec := range m.Outputs {
				have = append(have, spec.Name)
			}
			return protocol.Errorf(protocol.InvalidInput, "the model has no output %.80q; it has %s", name, strings.Join(have, ", "))
		}
	}
	return nil
}

// Outputs cuts a worker's output into the model's tensors, of which it returns those that
// the client wants; they alias the output.
func Outputs(r *Request, o *protocol.Output) ([]protocol.Tensor, *protocol.Error) {
	data := o.Data
	if want := int64(r.Batch) * r.Model.OutputBytes(); o.Items != r.Batch || int64(len(data)) != want {
		return nil, protocol.Errorf(protocol.Internal, "the worker answered %d items in %d bytes; expected %d in %d", o.Items, len(data), r.Batch, want)
	}
	tensors := make([]protocol.Tensor, 0, len(r.Model.Outputs))
	for _, spec := range r.Model.Outputs {
		n := int64(r.Batch) * spec.Bytes()
		if len(r.Outputs) == 0 || slices.Contains(r.Outputs, spec.Name) {
			tensors = append(tensors, protocol.Tensor{Name: spec.Name, Datatype: spec.Datatype, Shape: r.Model.Shape(spec, r.Batch), Data: data[:n:n]})
		}
		data = data[n:]
	}
	return tensors, nil
}
