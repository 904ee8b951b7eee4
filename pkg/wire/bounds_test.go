package wire

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
)

func checkBounds[T any](t *testing.T, c Codec[T]) {
	t.Helper()
	var v T
	fill(rand.New(rand.NewPCG(1, 2)), reflect.ValueOf(&v).Elem(), 2)
	shrink(reflect.ValueOf(&v).Elem())
	tried := 0
	hostile.Numbers(&v, func(place string, of reflect.Type, value any) {
		if of.Kind() == reflect.Uint8 && strings.Contains(place, "Data") {
			return // a byte of a payload
		}
		tried++
		_, fault := c.Decode(c.Encode(&v))
		if accepted := fault == nil; accepted != hostile.InBounds(place, of, value) {
			t.Errorf("%s: %v in %s is accepted: %v (%v)", c.name, value, place, accepted, fault)
		} else if !accepted && fault.Code != protocol.BadMessage {
			t.Errorf("%s: %v in %s is %s", c.name, value, place, fault.Code)
		}
	})
	if tried == 0 {
		t.Errorf("%s has no number", c.name)
	}
}

// shrink leaves one dimension of each shape, so that any extreme of it may be tried.
func shrink(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if spec, is := v.Addr().Interface().(*protocol.TensorSpec); is {
			spec.Shape = spec.Shape[:1]
		}
		for i := range v.NumField() {
			shrink(v.Field(i))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			shrink(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			shrink(v.Index(i))
		}
	}
}

// TestAbsurdNumbersAreNoMessage has every number of every message between services take the
// extremes of its type.
func TestAbsurdNumbersAreNoMessage(t *testing.T) {
	checkBounds(t, Actions)
	checkBounds(t, Results)
	checkBounds(t, Submissions)
	checkBounds(t, Dispatches)
	checkBounds(t, Inputs)
	checkBounds(t, Outputs)
	checkBounds(t, Heartbeat)
	checkBounds(t, Start)
	checkBounds(t, Join)
	checkBounds(t, Clock)
	checkBounds(t, Job)
	checkBounds(t, Report)
}

// TestLargeListsAndShapesAreNoMessage: what a service keeps of a heartbeat is small, its state
// is a known one, and the bytes of a model's items do not overflow.
func TestLargeListsAndShapesAreNoMessage(t *testing.T) {
	for name, h := range map[string]protocol.Heartbeat{
		"GPUs":        {GPUs: make([]protocol.GPUBeat, protocol.MaxGPUs+1)},
		"quarantined": {Quarantined: make([]protocol.QuarantinedModel, protocol.MaxQuarantined+1)},
	} {
		if _, fault := Heartbeat.Decode(Heartbeat.Encode(&h)); fault == nil {
			t.Errorf("a heartbeat with too many or too long %s is accepted", name)
		}
	}
	// What a former version sent of a profiler at work was the number of its job.
	for _, state := range []protocol.ServiceState{"1234567", "x", protocol.ServiceAbsent} {
		_, fault := Heartbeat.Decode(Heartbeat.Encode(&protocol.Heartbeat{State: state}))
		if fault == nil || !strings.Contains(fault.Message, string(state)) {
			t.Errorf("a heartbeat with the state %q: %v", state, fault)
		}
	}
	tensor := func(shape ...int64) protocol.TensorSpec {
		return protocol.TensorSpec{Name: "x", Datatype: protocol.FP32, Shape: shape}
	}
	many := make([]protocol.TensorSpec, 20)
	for i := range many {
		many[i] = tensor(1 << 41)
	}
	for name, inputs := range map[string][]protocol.TensorSpec{
		"dimensions that overflow together": {tensor(1<<40, 1<<40)}, "large tensors": many,
	} {
		start := protocol.ClockworkState{Models: []protocol.ModelSpec{{Name: "m", Inputs: inputs}}}
		if _, fault := Start.Decode(Start.Encode(&start)); fault == nil {
			t.Errorf("a model with %s is accepted", name)
		}
	}
}
