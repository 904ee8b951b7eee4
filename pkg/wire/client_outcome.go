package wire

import "clockwork/pkg/protocol"

// DecodeOutcome decodes a reply's code and parameters, and skips the outputs: a client
// that counts thousands of replies a second needs no more. The code is OK, or that of
// the stack's error; BAD_MESSAGE if body is not a reply.
func DecodeOutcome(body []byte) (protocol.ResponseParameters, protocol.Code) {
	if EncodingOf(body) == protocol.JSON {
		return outcomeJSON(body)
	}
	var p protocol.ResponseParameters
	if scanWhole(body) != nil {
		return p, protocol.BadMessage
	}
	w := walkers.Get().(*walker)
	defer w.free()
	w.body, w.fault = body, nil
	code := w.outcome(&p)
	if w.err != nil {
		return protocol.ResponseParameters{}, protocol.BadMessage
	}
	return p, code
}

func outcomeJSON(body []byte) (protocol.ResponseParameters, protocol.Code) {
	r, refusal := DecodeResponse(body)
	if refusal != nil {
		return protocol.ResponseParameters{}, refusal.Code
	}
	return r.Parameters, protocol.OK
}

// outcome reads the keys up to the parameters or the error; the outputs come after the
// parameters.
func (w *walker) outcome(p *protocol.ResponseParameters) protocol.Code {
	for n := w.fields(); n > 0 && !w.done(); n-- {
		switch string(w.text()) {
		case "parameters":
			w.responseParameters(p)
			return protocol.OK
		case "error":
			return w.refusal()
		default:
			w.skip()
		}
	}
	return protocol.BadMessage
}

// refusal reads the code of an error.
func (w *walker) refusal() protocol.Code {
	code := protocol.BadMessage
	for n := w.fields(); n > 0 && !w.done(); n-- {
		if string(w.text()) == "code" {
			code = protocol.Code(w.word())
			continue
		}
		w.skip()
	}
	if !isFailure(code) {
		return protocol.BadMessage
	}
	return code
}

func (w *walker) responseParameters(p *protocol.ResponseParameters) {
	for n := w.fields(); n > 0 && !w.done(); n-- {
		switch string(w.text()) {
		case "latency_us":
			p.LatencyUS = w.whole()
		case "batch_size":
			p.BatchSize = int(w.whole())
		case "worker":
			p.Worker = w.word()
		case "cold_start":
			p.ColdStart = w.flag()
		case "buffered_ms":
			p.BufferedMS = w.float()
		case "scheduler_us":
			p.SchedulerUS = w.whole()
		case "queue_us":
			p.QueueUS = w.whole()
		case "input_us":
			p.InputUS = w.whole()
		case "exec_us":
			p.ExecUS = w.whole()
		case "output_us":
			p.OutputUS = w.whole()
		default:
			w.skip()
		}
	}
}
