package httpapi

import (
	"math"
	"net/http"
	"strconv"
	"time"

	core "clockwork/pkg/core/frontdoor"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
	"clockwork/services/frontdoor"
	"clockwork/services/gateway/oip"
)

// noDeadline ends a time for reading or writing.
var noDeadline time.Time

// infer takes a request and answers it.
func (c *call) infer() {
	x := &exchange{call: c, Infer: c.oip.NewInfer()}
	request, absent := x.take()
	if absent != nil {
		c.refuse(absent)
	}
	if request != nil { // else it is answered
		x.Answer(c.r.Context(), request)
	}
}

// take gives the message to the front door: without its body, if it is refused whatever that
// is. The request is nil if it is answered.
func (x *exchange) take() (*core.Request, *protocol.Error) {
	in := core.Inbound{Model: x.model, Tenant: x.tenant, Direct: true, Bytes: int(max(0, x.r.ContentLength))}
	if refused, absent := x.Screen(&in, x, x.r.Header); absent != nil || refused {
		return nil, absent
	}
	hold := x.oip.Reading()
	defer hold.GiveBack() // from then on the front door counts them
	x.body, x.fault = x.readBody(x.MaxBody(), &hold)
	x.bodyRead()
	x.split()
	in.Bytes, in.Slow = len(x.body), x.fault == nil && wire.ReadsSlowly(x.body[:x.json])
	return x.Take(&in, x, x.r.Header)
}

// exchange is a request over HTTP and its answer. All of it but End runs on the goroutine of
// its connection.
type exchange struct {
	*call
	oip.Infer

	body    []byte
	json    int             // as many bytes of the body are JSON; 0 for the data of the inputs alone
	fault   *protocol.Error // why the body cannot be read
	request wire.HTTPRequest

	binary   [][]byte // outputs behind the JSON of the answer
	head     int      // bytes of that JSON
	encoding string   // in which the answer is compressed, "" for none
}

// split finds the JSON of the body.
func (x *exchange) split() {
	if x.fault == nil {
		x.json, x.fault = wire.JSONSize(x.r.Header.Values(wire.HeaderLength), len(x.body))
	}
}

// Subject implements frontdoor.Exchange.
func (x *exchange) Subject() string { return x.r.URL.EscapedPath() }

// Read implements frontdoor.Exchange.
func (x *exchange) Read(spec *protocol.ModelSpec, known bool, e *core.Decoded) (fault *protocol.Error) {
	if x.fault != nil {
		return x.fault
	}
	if fault = oip.CheckVersion(spec, x.version); fault != nil {
		return fault
	}
	if x.raw() {
		x.request, fault = rawRequest(spec, x.body)
	} else {
		x.request, fault = x.heads.Decode(x.body, x.json)
	}
	if fault != nil {
		return fault
	}
	e.Encoding = protocol.JSON
	if e.SLO, fault = x.oip.Budget(x.r.Context(), x.r.Header.Get(protocol.TimeoutHeader), x.request.Parameters); fault != nil {
		return fault
	}
	return frontdoor.Fill(e, &x.request.InferRequest, spec, known)
}

// raw reports whether the body is the data of the inputs alone.
func (x *exchange) raw() bool { return x.json == 0 && len(x.body) > 0 }

// rawRequest is a request whose body is the data of the model's inputs, of one item. Its
// outputs are binary too.
func rawRequest(spec *protocol.ModelSpec, body []byte) (r wire.HTTPRequest, fault *protocol.Error) {
	r.Inputs, fault = spec.Cut(body, 1)
	r.AllBinary = true
	return r, fault
}

// Refuse implements frontdoor.Exchange.
func (x *exchange) Refuse(refusal *protocol.Error) { x.refuse(refusal) }

// Tensors implements frontdoor.Exchange.
func (x *exchange) Tensors(outputs []protocol.Tensor) (text []byte) {
	text, x.binary = wire.HTTPOutputs(outputs, &x.request)
	return text
}

// Append implements frontdoor.Exchange.
func (x *exchange) Append(dst []byte, r *protocol.InferResponse, tensors []byte) []byte {
	oip.NameVersion(r)
	before := len(dst)
	dst = wire.AppendResponseJSON(dst, r, tensors)
	x.head = len(dst) - before
	for _, data := range x.binary {
		dst = append(dst, data...)
	}
	x.encoding = accepted(x.r.Header.Get("Accept-Encoding"))
	if len(dst)-before < minCompressed {
		x.encoding = ""
	}
	if x.encoding != "" {
		dst = append(dst[:before], compressed(dst[before:], x.encoding)...)
	}
	return dst
}

// Limit implements frontdoor.Exchange: a connection carries answers of any size.
func (x *exchange) Limit() int64 { return math.MaxInt64 }

// Respond implements frontdoor.Exchange.
func (x *exchange) Respond(_ *core.Ended, body []byte) {
	contentType := "application/json"
	if len(x.binary) > 0 {
		contentType = "application/octet-stream"
		x.w.Header().Set(wire.HeaderLength, strconv.Itoa(x.head))
	}
	if x.encoding != "" {
		x.w.Header().Set("Content-Encoding", x.encoding)
	}
	x.w.Header().Set("Vary", "Accept-Encoding")
	x.write(http.StatusOK, contentType, body)
}
