package wire

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"clockwork/pkg/protocol"
)

// fill sets every exported field to a random value, so that a field which a
// codec forgets does not come back.
func fill(rng *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := 0; i < v.NumField(); i++ {
			fill(rng, v.Field(i), depth)
		}
	case reflect.Pointer:
		if depth > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rng, v.Elem(), depth-1)
		}
	case reflect.Slice:
		n := 1 + rng.IntN(3)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rng, v.Index(i), depth)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(rng, v.Index(i), depth)
		}
	case reflect.String:
		if _, is := v.Interface().(protocol.ServiceState); is {
			v.SetString(string(protocol.Busy))
			return
		}
		v.SetString([]string{"a", "model-1", "ü"}[rng.IntN(3)])
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(rng.Float64() + 1)
	case reflect.Uint8:
		v.SetUint(1 + rng.Uint64N(200))
	case reflect.Uint32:
		v.SetUint(math.MaxUint32 - rng.Uint64N(9))
	case reflect.Uint64:
		v.SetUint(math.MaxUint64 - rng.Uint64N(9))
	case reflect.Int64:
		switch v.Interface().(type) {
		case protocol.Time:
			v.SetInt(1 + rng.Int64N(int64(protocol.MaxTime)))
		case time.Duration:
			v.SetInt(1 + rng.Int64N(int64(protocol.MaxSpan)))
		default: // bytes, or a dimension of a shape, of which there are three
			v.SetInt(1 + rng.Int64N(1<<13))
		}
	default:
		v.SetInt(1 + rng.Int64N(protocol.MaxCount))
	}
}

func roundTrip[T any](t *testing.T, c Codec[T], fix func(*T)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		var in T
		fill(rng, reflect.ValueOf(&in).Elem(), 2)
		if fix != nil {
			fix(&in)
		}
		body := c.Encode(&in)
		out, fault := c.Decode(body)
		if fault != nil {
			t.Fatalf("%s: %v", c.name, fault)
		}
		if diff := cmp.Diff(in, out); diff != "" {
			t.Fatalf("%s came back different (-sent +received):\n%s", c.name, diff)
		}
		for cut := range min(len(body), 200) {
			if _, fault := c.Decode(body[:cut]); fault == nil {
				t.Fatalf("%s: %d of %d bytes are accepted", c.name, cut, len(body))
			}
		}
		if _, fault := c.Decode(append(body, 0)); fault == nil {
			t.Fatalf("%s: a byte too many is accepted", c.name)
		}
	}
}

func TestEveryFieldOfEveryMessageComesBack(t *testing.T) {
	roundTrip(t, Actions, nil)
	roundTrip(t, Results, func(b *protocol.ResultBatch) {
		for i := range b.Results {
			b.Results[i].Issuer = b.Issuer // sent once for all
			b.Results[i].Worker = ""       // comes from the subject
		}
	})
	roundTrip(t, Submissions, func(b *protocol.SubmissionBatch) {
		for i := range b.Requests {
			b.Requests[i].ID.Door = b.Door // sent once for all
		}
	})
	roundTrip(t, Dispatches, nil)
	roundTrip(t, Inputs, nil)
	roundTrip(t, Outputs, nil)
	roundTrip(t, Heartbeat, func(h *protocol.Heartbeat) { h.Service, h.ID = "", "" }) // come from the subject
	roundTrip(t, Start, nil)
	roundTrip(t, Join, nil)
	roundTrip(t, Clock, nil)
	roundTrip(t, Job, nil)
	roundTrip(t, Report, nil)
}

// TestATraceIsSentOnlyWhereThereIsOne: what is not traced is on the wire what it was
// before there were traces, and a trace that is cut short is refused.
func TestATraceIsSentOnlyWhereThereIsOne(t *testing.T) {
	plain := protocol.SubmissionBatch{Door: 3, Epoch: 9, Requests: []protocol.Submitted{{Reply: "r", JSON: true, Submission: protocol.Submission{
		ID: protocol.RequestID{Door: 3, Seq: 7}, Model: "m", Batch: 1, Bytes: 8, Budget: 100, Elapsed: 5}}}}
	before := []byte{Version, 0x94, 3, 9, 0x90, 0x91, 0x9b, 7, 0xa1, 'm', 1, 8, 100, 5, 0, 0xc2, 0xa1, 'r', 0xc3, 0}
	body := Submissions.Encode(&plain)
	if !bytes.Equal(body, before) {
		t.Errorf("without a trace\n%x, before\n%x", body, before)
	}
	traced := plain
	traced.Requests = []protocol.Submitted{plain.Requests[0]}
	traced.Requests[0].Trace = protocol.TraceContext{Trace: [16]byte{1}, Span: [8]byte{2}}
	if more := len(Submissions.Encode(&traced)) - len(body); more != 26 {
		t.Errorf("a trace takes %d bytes, want its 24 and what they are", more)
	}
	short := append(bytes.Clone(before), 0xc4, 3, 1, 2, 3)
	short[6]++ // twelve fields
	if _, fault := Submissions.Decode(short); fault == nil {
		t.Error("a trace of three bytes is accepted")
	}
}

// TestWithdrawalsAreSentOnlyWhereThereAreSome: without, a batch is on the wire what it was before.
func TestWithdrawalsAreSentOnlyWhereThereAreSome(t *testing.T) {
	batch := protocol.SubmissionBatch{Door: 3, Epoch: 9, Withdrawn: []uint64{7, 300}}
	want := []byte{Version, 0x95, 3, 9, 0x90, 0x90, 0x92, 7, 0xcd, 1, 44}
	if body := Submissions.Encode(&batch); !bytes.Equal(body, want) {
		t.Errorf("%x, want %x", body, want)
	}
	if got, fault := Submissions.Decode(want); fault != nil || !slices.Equal(got.Withdrawn, batch.Withdrawn) {
		t.Errorf("%v %v", got.Withdrawn, fault)
	}
}

func TestAnotherVersionIsRefused(t *testing.T) {
	body := Clock.Encode(&protocol.ClockReading{Epoch: 1, Now: 2})
	body[0]++
	if _, fault := Clock.Decode(body); fault == nil || fault.Code != protocol.BadMessage {
		t.Errorf("another version gave %v, want BAD_MESSAGE", fault)
	}
}

func TestNumbersThatDoNotFitAreRefused(t *testing.T) {
	type wide struct{ n uint64 }
	codec := Codec[wide]{"wide", func(k *coder, w *wide) { k.array(1); num(k, &w.n) }}
	type narrow struct{ n uint8 }
	small := Codec[narrow]{"narrow", func(k *coder, w *narrow) { k.array(1); num(k, &w.n) }}
	if _, fault := small.Decode(codec.Encode(&wide{256})); fault == nil {
		t.Error("256 was read into eight bits")
	}
}
