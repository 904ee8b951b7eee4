package wire

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync/atomic"

	"clockwork/pkg/protocol"
)

// HTTPHeads remembers what the JSON of requests meant whose tensors are all binary: a client
// sends the same JSON again and again, and reading it takes longer than all else that a small
// request needs. Any goroutine may use it. The zero value remembers nothing yet.
//
// It has at most heads entries of at most maxHead bytes; one that falls on the place of another
// replaces it.
type HTTPHeads struct {
	places [heads]atomic.Pointer[httpHead]
}

const (
	heads   = 256
	maxHead = 2 << 10
)

// headSeed is the process's own: who sends requests cannot choose what falls on one place.
var headSeed = maphash.MakeSeed()

// httpHead is JSON and what it meant. It does not change: requests share it.
type httpHead struct {
	json    []byte
	request HTTPRequest // without data
	sizes   []int       // of the inputs' data, in their order
	binary  int         // their sum
}

// Decode is DecodeHTTP.
func (h *HTTPHeads) Decode(body []byte, jsonSize int) (HTTPRequest, *protocol.Error) {
	if jsonSize > maxHead || jsonSize == len(body) {
		return DecodeHTTP(body, jsonSize)
	}
	place := &h.places[maphash.Bytes(headSeed, body[:jsonSize])%heads]
	if known := place.Load(); known != nil && len(body) == jsonSize+known.binary && bytes.Equal(known.json, body[:jsonSize]) {
		return known.with(body[jsonSize:]), nil
	}
	r, fault := DecodeHTTP(body, jsonSize)
	if fault == nil {
		if head := headOf(&r, body[:jsonSize], len(body)-jsonSize); head != nil {
			place.Store(head)
		}
	}
	return r, fault
}

// headOf returns what is to be remembered of a request, nil if it has data in the JSON.
func headOf(r *HTTPRequest, json []byte, binary int) *httpHead {
	head := &httpHead{json: bytes.Clone(json), request: *r, binary: binary}
	head.request.Inputs = slices.Clone(r.Inputs)
	for i := range head.request.Inputs {
		in := &head.request.Inputs[i]
		head.sizes = append(head.sizes, len(in.Data))
		binary -= len(in.Data)
		in.Data = nil
	}
	if binary != 0 {
		return nil
	}
	return head
}

// with returns the request with its data.
func (h *httpHead) with(data []byte) HTTPRequest {
	r := h.request
	r.Inputs = slices.Clone(h.request.Inputs)
	for i, size := range h.sizes {
		r.Inputs[i].Data, data = data[:size:size], data[size:]
	}
	return r
}
