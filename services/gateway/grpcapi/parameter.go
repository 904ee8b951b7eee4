package grpcapi

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"clockwork/pkg/protocol"
)

// parameter is an InferParameter: nil, bool, int64, uint64, float64 or string.
type parameter struct{ value any }

// parameterOf reads an entry of a map of parameters.
func parameterOf(entry []byte) (key string, p parameter, fault *protocol.Error) {
	fault = fields(entry, func(number protowire.Number, kind protowire.Type, value []byte) *protocol.Error {
		switch {
		case number == 1 && kind == protowire.BytesType:
			key = string(value)
		case number == 2 && kind == protowire.BytesType:
			return fields(value, p.set)
		}
		return nil
	})
	return key, p, fault
}

// set takes over one of the fields that a parameter may be.
func (p *parameter) set(number protowire.Number, kind protowire.Type, value []byte) *protocol.Error {
	switch {
	case number == 3 && kind == protowire.BytesType:
		p.value = string(value)
	case number == 4 && kind == protowire.Fixed64Type:
		bits, _ := protowire.ConsumeFixed64(value)
		p.value = math.Float64frombits(bits)
	case kind == protowire.VarintType:
		v, _ := protowire.ConsumeVarint(value)
		switch number {
		case 1:
			p.value = v != 0
		case 2:
			p.value = int64(v)
		case 5:
			p.value = v
		}
	}
	return nil
}

// number is the parameter as a number.
func (p parameter) number() (float64, bool) {
	switch v := p.value.(type) {
	case int64:
		return float64(v), true
	case uint64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

// said reports whether the parameter means something: some clients send the value that means
// nothing.
func (p parameter) said() bool {
	switch v := p.value.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	}
	n, _ := p.number()
	return n != 0
}

// fields calls f with each field of a message within one: with the bytes of one that has a
// length, and else with the encoded number.
func fields(body []byte, f func(protowire.Number, protowire.Type, []byte) *protocol.Error) *protocol.Error {
	for len(body) > 0 {
		number, kind, n := protowire.ConsumeTag(body)
		if n < 0 || kind == protowire.StartGroupType || kind == protowire.EndGroupType {
			return broken("a field has no number, or is of an unknown kind")
		}
		body = body[n:]
		value, n := body, protowire.ConsumeFieldValue(number, kind, body)
		if n < 0 {
			return broken("a field is longer than its message")
		}
		value, body = value[:n], body[n:]
		if kind == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		if fault := f(number, kind, value); fault != nil {
			return fault
		}
	}
	return nil
}
