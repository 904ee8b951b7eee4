package client

import (
	"fmt"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/wire"
)

// Another program may listen on our subjects, and any JSON object can be decoded into any
// of our types. An answer is therefore read in one place, which believes it only if it has
// what each of Clockwork's answers has.

// readAnswer decodes an answer on a subject into one of Clockwork's replies. The error is the
// stack's own, or says that the answer is foreign.
func readAnswer(subject string, body []byte, reply any) *protocol.Error {
	refusal, fault := wire.ReadError(body)
	switch {
	case refusal != nil:
		if flaw := errorFlaw(refusal); flaw != "" {
			return foreign(subject, flaw)
		}
		return refusal
	case fault == nil:
		fault = decodeAnswer(body, reply)
	}
	if fault != nil {
		return foreign(subject, fault.Message)
	}
	if flaw := flawOf(reply); flaw != "" {
		return foreign(subject, flaw)
	}
	return nil
}

// decodeAnswer decodes a reply that is no error. Tensors are decoded by their datatypes.
func decodeAnswer(body []byte, into any) *protocol.Error {
	response, infers := into.(*protocol.InferResponse)
	if !infers {
		return wire.DecodeReply(body, into)
	}
	r, fault := wire.DecodeResponse(body)
	if fault == nil {
		*response = *r
	}
	return fault
}

// flawOf returns why a reply is not Clockwork's, "" if it may be.
func flawOf(reply any) string {
	switch r := reply.(type) {
	case *protocol.InferResponse:
		return responseFlaw(r)
	case *protocol.LoadReply:
		return loadFlaw(r)
	case *protocol.ModelList:
		return listFlaw(r)
	case *protocol.StackState:
		return stateFlaw(r)
	case *protocol.DoorRecord:
		return recordFlaw(r)
	case *explain.Report:
		return reportFlaw(r)
	case *protocol.LiveStats:
		return statsFlaw(r)
	case *protocol.Event:
		return eventFlaw(r)
	}
	panic(fmt.Sprintf("a reply of type %T has no check", reply))
}

// foreign is the error for an answer that another program than Clockwork has sent.
func foreign(subject, flaw string) *protocol.Error {
	return protocol.Errorf(protocol.BadMessage, "the answer on %s is not Clockwork's: %s; is --prefix right, or does another program listen there?", subject, flaw)
}
