package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

// The bounds of what a body makes a decoder allocate: so many times its size, and
// a mebibyte. A client's element may be a structure of some hundred bytes.
const (
	mostOfClients   = 256
	mostOfReplies   = 2048
	mostOfInternals = 256
)

func most(times int, body []byte) int { return times*len(body) + 1<<20 }

func FuzzPrescan(f *testing.F) {
	for _, b := range hostile.Seeds() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		end, fault := prescan(body, maxClientElements)
		if fault != nil {
			refusedWith(t, fault, protocol.BadMessage)
			return
		}
		if end < 1 || end > len(body) {
			t.Fatalf("%d of %d bytes", end, len(body))
		}
		// What passes, the library reads to the same place.
		in := bytes.NewReader(body)
		if err := msgpack.NewDecoder(in).Skip(); err == nil && len(body)-in.Len() != end {
			t.Fatalf("ends at %d, the library says %d", end, len(body)-in.Len())
		}
	})
}

// FuzzPrescanJSON: what is JSON passes, unless it is beyond a bound, and what
// passes has no more elements than the library sees.
func FuzzPrescanJSON(f *testing.F) {
	for _, b := range hostile.Seeds() {
		f.Add(b)
	}
	f.Add([]byte(` {"a\\":[1, -2e9 ,null,"\\"] , "data" : [[true],{"data":[1,2]},3]} `))
	f.Fuzz(func(t *testing.T, body []byte) {
		wide := bounds{1 << 30, 1 << 30}
		fault := wide.scanJSON(body)
		if !json.Valid(body) {
			return // the library refuses it, and allocates nothing before
		}
		deepest, elements := counted(t, body)
		switch {
		case deepest > maxDepth:
			if fault == nil {
				t.Fatalf("nested %d deep", deepest)
			}
			return
		case fault != nil:
			t.Fatalf("it is JSON: %v", fault)
		}
		if fault := (bounds{1 << 30, elements}).scanJSON(body); fault != nil {
			t.Fatalf("of %d elements: %v", elements, fault)
		}
		if !bytes.Contains(body, []byte(`"data"`)) && elements > 1 && (bounds{1 << 30, elements - 1}).scanJSON(body) == nil {
			t.Fatalf("%d elements are counted as fewer", elements)
		}
		if fault := (bounds{len(body) - 1, elements}).scanJSON(body); fault == nil || fault.Code != protocol.PayloadTooLarge {
			t.Fatalf("of %d bytes, a byte too many: %v", len(body), fault)
		}
	})
}

// counted is how deep a JSON text is nested, and how many values and keys it has,
// by the library.
func counted(t *testing.T, body []byte) (deepest, elements int) {
	depth := 0
	for d := json.NewDecoder(bytes.NewReader(body)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return deepest, elements
		}
		if err != nil {
			var wide *json.UnmarshalTypeError
			if errors.As(err, &wide) { // a number that no float64 holds
				t.Skip()
			}
			t.Fatal(err)
		}
		switch token {
		case json.Delim('}'), json.Delim(']'):
			depth--
			continue
		case json.Delim('{'), json.Delim('['):
			depth++
			deepest = max(deepest, depth)
		}
		elements++
	}
}

func refusedWith(t *testing.T, fault *protocol.Error, codes ...protocol.Code) {
	t.Helper()
	if !slices.Contains(codes, fault.Code) || fault.Message == "" {
		t.Fatalf("refused with %v, expected one of %v and why", fault, codes)
	}
}

func FuzzClientMessages(f *testing.F) {
	for _, b := range hostile.Seeds() {
		f.Add(b)
	}
	f.Add([]byte(`{"id":"a","parameters":{"slo_ms":5},"inputs":[{"name":"x","shape":[1],"datatype":"BOOL","data":[true,null]}]}`))
	f.Add(EncodeInfer(&protocol.InferRequest{ID: "a", Inputs: []protocol.Tensor{{Name: "x", Datatype: protocol.FP16, Shape: []int64{1}, Data: []byte{1, 2}}}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		hostile.Within(t, most(mostOfClients, body), "a request", func() {
			in, fault := DecodeInfer(body)
			if fault != nil {
				refusedWith(t, fault, protocol.BadMessage, protocol.InvalidInput)
				return
			}
			for _, tensor := range in.Inputs {
				if len(tensor.Data) > 8*len(body) {
					t.Fatalf("%d bytes out of %d", len(tensor.Data), len(body))
				}
			}
			if again, fault := DecodeInfer(EncodeInfer(&in)); fault != nil || again.ID != in.ID || len(again.Inputs) != len(in.Inputs) {
				t.Fatalf("accepted once, then %v", fault)
			}
		})
		hostile.Within(t, most(mostOfClients, body), "a load", func() {
			var load protocol.LoadRequest
			if fault := DecodeBody(body, &load); fault != nil {
				refusedWith(t, fault, protocol.BadMessage)
			}
		})
	})
}

// FuzzReplies: what a client reads of the stack.
func FuzzReplies(f *testing.F) {
	for _, b := range hostile.Seeds() {
		f.Add(b)
	}
	for _, e := range []protocol.Encoding{protocol.JSON, protocol.Msgpack} {
		f.Add(EncodeBody(e, errorBody{&protocol.Error{Code: protocol.TooLate, Message: "m", Workers: []protocol.WorkerError{{Worker: "w"}}}}))
		f.Add(EncodeBody(e, protocol.ModelList{Models: make([]protocol.ModelState, 1)}))
		f.Add(EncodeBody(e, protocol.StackState{Stage: protocol.Active, Workers: []protocol.WorkerState{{GPUs: make([]protocol.GPUState, 1)}}}))
		f.Add(EncodeBody(e, protocol.Event{Kind: protocol.EventStage}))
		f.Add(EncodeResponse(e, &protocol.InferResponse{ModelName: "m", Outputs: []protocol.Tensor{{Name: "y", Datatype: protocol.Int8, Shape: []int64{1}, Data: []byte{7}}}}))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		limit := most(mostOfReplies, body)
		hostile.Within(t, limit, "a response", func() {
			r, fault := DecodeResponse(body)
			if (r == nil) == (fault == nil) {
				t.Fatalf("%v and %v", r, fault)
			}
		})
		hostile.Within(t, limit, "models", func() { _ = DecodeReply(body, new(protocol.ModelList)) })
		hostile.Within(t, limit, "a state", func() { _ = DecodeReply(body, new(protocol.StackState)) })
		hostile.Within(t, limit, "a reply", func() { _ = DecodeReply(body, new(protocol.LoadReply)) })
		hostile.Within(t, limit, "an event", func() { _ = DecodeBody(body, new(protocol.Event)) })
		refusal := DecodeError(body)
		if refusal == nil {
			return
		}
		_ = refusal.Error()
		for _, e := range []protocol.Encoding{protocol.JSON, protocol.Msgpack} {
			m := errorBytes(e, refusal)
			if len(m) > 1024*(4+2*len(refusal.Workers))+4*len(body) {
				t.Fatalf("an error of %d bytes is told on in %d", len(body), len(m))
			}
		}
	})
}

// FuzzInternalMessages: whatever a decoder accepts, it can encode again and
// tell on as JSON.
func FuzzInternalMessages(f *testing.F) {
	for _, b := range hostile.Seeds() {
		f.Add(append([]byte{Version}, b...))
	}
	f.Add(Actions.Encode(&[]protocol.Action{{Load: &protocol.LoadSpec{Names: []string{"a"}}}}))
	f.Add(Results.Encode(&protocol.ResultBatch{Results: []protocol.Result{{State: &protocol.WorkerState{GPUs: make([]protocol.GPUState, 2)}}}}))
	f.Add(Submissions.Encode(&protocol.SubmissionBatch{Requests: make([]protocol.Submitted, 2)}))
	f.Add(Dispatches.Encode(&[]protocol.Dispatch{{Refusal: &protocol.Error{EarliestMS: 1}}}))
	f.Add(Inputs.Encode(&[]protocol.Input{{Data: []byte{1}}, {Data: []byte{2, 3}}}))
	f.Add(Outputs.Encode(&[]protocol.Output{{Data: []byte{1}}}))
	f.Add(Heartbeat.Encode(&protocol.Heartbeat{State: protocol.Busy, Job: 1}))
	f.Add(Start.Encode(&protocol.ClockworkState{Models: make([]protocol.ModelSpec, 1)}))
	f.Add(Job.Encode(&protocol.ProfileJob{}))
	f.Add(Report.Encode(&protocol.ProfileReport{Failures: make([]protocol.ProfileFailure, 1)}))
	f.Add(Clock.Encode(&protocol.ClockReading{}))
	f.Add(chunkCodec.Encode(&chunk{id: 1, count: 1, data: []byte{1}}))
	f.Fuzz(func(t *testing.T, body []byte) {
		again(t, Actions, body)
		again(t, Results, body)
		again(t, Submissions, body)
		again(t, Dispatches, body)
		again(t, Inputs, body)
		again(t, Outputs, body)
		again(t, Heartbeat, body)
		again(t, Join, body)
		again(t, Start, body)
		again(t, Clock, body)
		again(t, Job, body)
		again(t, Report, body)
		again(t, chunkCodec, body)
		if list, fault := Dispatches.Decode(body); fault == nil {
			for _, d := range list {
				if d.Refusal != nil {
					errorBytes(protocol.JSON, d.Refusal)
				}
			}
		}
		if _, _, fault := NewChunks(Start).Add(body); fault != nil {
			refusedWith(t, fault, protocol.BadMessage)
		}
		if results, fault := Results.Decode(body); fault == nil {
			if to, told := issuerOf(body); told && to != results.Issuer {
				t.Fatalf("for %d at a glance, for %d when read", to, results.Issuer)
			}
		}
	})
}

func again[T any](t *testing.T, c Codec[T], body []byte) {
	t.Helper()
	var v T
	var fault *protocol.Error
	hostile.Within(t, most(mostOfInternals, body), c.name, func() { v, fault = c.Decode(body) })
	if fault != nil {
		refusedWith(t, fault, protocol.BadMessage)
		return
	}
	if _, fault := c.Decode(c.Encode(&v)); fault != nil {
		t.Fatalf("%s: accepted once, then %v", c.name, fault)
	}
}
