package oip

import "clockwork/pkg/protocol"

// Reading counts the bytes of one body, or of one connection's bodies, that are being read against those of all.
type Reading struct {
	of    *Server
	bytes int64
}

// Reading begins to read a body.
func (s *Server) Reading() Reading { return Reading{of: s} }

// Take counts n more bytes, unless all bodies together have too many then: OVERLOADED.
func (r *Reading) Take(n int64) *protocol.Error {
	if all := r.of.reading.Add(n); all > r.of.config.ReadingBytes {
		r.of.reading.Add(-n)
		fault := protocol.Errorf(protocol.Overloaded, "%d bytes of bodies are being read at this gateway", all-n)
		fault.Got, fault.Limit = all-n, r.of.config.ReadingBytes
		return fault
	}
	r.bytes += n
	return nil
}

// Release counts n bytes less: they are read.
func (r *Reading) Release(n int64) {
	r.bytes -= n
	r.of.reading.Add(-n)
}

// GiveBack ends the reading.
func (r *Reading) GiveBack() {
	r.Release(r.bytes)
}
