package protocol

import "encoding/hex"

// TraceContext says to which trace a request belongs, and which span of it is the
// request's own. The zero TraceContext stands for a request whose trace is not recorded.
type TraceContext struct {
	Trace [16]byte
	Span  [8]byte
}

// Recorded reports whether there is a trace.
func (t TraceContext) Recorded() bool { return t != TraceContext{} }

// String returns the trace's id as people and collectors write it, "" if there is none.
func (t TraceContext) String() string {
	if !t.Recorded() {
		return ""
	}
	return hex.EncodeToString(t.Trace[:])
}
