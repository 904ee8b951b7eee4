package wire

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"clockwork/pkg/protocol"
)

// What copies have in common is coded once, and comes back with each of them.
func TestCopiesTakeTheirNamesOnly(t *testing.T) {
	var state protocol.WorkerState
	for i := range 3000 {
		m := protocol.ModelSpec{Name: fmt.Sprintf("m-%d", i), Path: "zoo/m", Digest: "d", Version: i / 1000, Backend: "b",
			Inputs: []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{3, 224, 224}}}, BatchSizes: []int{1, 2}, Pages: 1}
		state.Models = append(state.Models, m)
	}
	body := Join.Encode(&state)
	if len(body) > 3000*8 {
		t.Errorf("%d copies take %d bytes", len(state.Models), len(body))
	}
	back, fault := Join.Decode(body)
	if diff := cmp.Diff(state.Models, back.Models); fault != nil || diff != "" {
		t.Errorf("%v %s", fault, diff)
	}
}

// A name of a byte would take the memory of a spec.
func TestAListOfModelsIsBounded(t *testing.T) {
	state := protocol.WorkerState{Models: make([]protocol.ModelSpec, maxModels+1)}
	if _, fault := Join.Decode(Join.Encode(&state)); fault == nil || fault.Code != protocol.BadMessage {
		t.Errorf("got %v", fault)
	}
}

// A batch of results in chunks is whole with the last of them, for its issuer only. A chunk
// that is missing costs the batch and nothing else.
func TestResultsComeInChunks(t *testing.T) {
	const issuer = 1<<63 + 5
	batch := protocol.ResultBatch{Issuer: issuer}
	for i := range 500 {
		batch.Results = append(batch.Results, protocol.Result{Action: protocol.ActionID(i), Issuer: issuer, Message: "abcdefgh"})
	}
	body := Results.Encode(&batch)
	cut := func(id uint64) [][]byte {
		messages, err := SplitResults(issuer, id, body, 1000)
		if err != nil || len(messages) < 10 {
			t.Fatalf("%d chunks, %v", len(messages), err)
		}
		return messages
	}
	var r ResultReader
	read := func(messages [][]byte, to uint64) (n int) {
		for _, m := range messages {
			if !IsResultChunk(m) || len(m) > 1000 {
				t.Fatalf("a chunk of %d bytes", len(m))
			}
			results, fault := r.Read(m, to)
			if fault != nil {
				t.Fatal(fault)
			}
			n += len(results)
		}
		return n
	}
	if n := read(cut(1), issuer); n != 500 || r.Waiting() != 0 {
		t.Errorf("%d results, %d bytes wait", n, r.Waiting())
	}
	if n := read(cut(2), issuer+1); n != 0 || r.Waiting() != 0 {
		t.Errorf("%d results for another issuer, %d bytes wait", n, r.Waiting())
	}
	torn := cut(3)
	if n := read(append(torn[:3:3], torn[4:]...), issuer); n != 0 {
		t.Errorf("%d results of a torn batch", n)
	}
	if n := read(cut(4), issuer); n != 500 {
		t.Errorf("%d results after a torn batch", n)
	}
}
