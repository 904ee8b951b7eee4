package controller

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

// The pieces of a worker, put together again, are the worker, and their keys are in order.
func TestAWorkerIsPutTogetherFromItsPieces(t *testing.T) {
	names := func(n int) []string {
		list := []string{}
		for i := range n {
			list = append(list, fmt.Sprintf("m-%05d", i))
		}
		return list
	}
	whole := []protocol.WorkerState{
		{ID: "w1", GPUs: []protocol.GPUState{{ID: 0, Models: names(1000)}, {ID: 1, Models: []string{}}, {ID: 11, Models: names(3)}}, Models: []protocol.ModelSpec{}},
		{ID: "w1-2", Models: []protocol.ModelSpec{}},
	}
	for _, name := range names(700) {
		whole[0].Lacks = append(whole[0].Lacks, protocol.Lack{Model: name, Code: protocol.ModelNotFound, Message: strings.Repeat("<", protocol.MaxText)})
	}
	pieces := piecesOf(whole)
	for _, p := range pieces {
		if body, err := json.Marshal(p.worker); err != nil || len(body) > protocol.MinMessage*9/10 {
			t.Errorf("a piece of %d bytes, %v", len(body), err)
		}
	}
	if !slices.IsSortedFunc(pieces, func(a, b piece) int { return strings.Compare(a.key, b.key) }) || pieces[len(pieces)-1].key >= modelKey {
		t.Error("the keys are not in order")
	}
	var s protocol.StackState
	for _, p := range pieces {
		s.AppendWorker(p.worker)
	}
	slices.SortFunc(s.Workers, func(a, b protocol.WorkerState) int { return strings.Compare(a.ID, b.ID) })
	if diff := cmp.Diff(whole, s.Workers); diff != "" {
		t.Error(diff)
	}
}

// A client may ask for pages of its own size, and gets all of them.
func TestPagesOfTheModels(t *testing.T) {
	s := newStack(t)
	s.controller()
	bustest.StartWorker(t, s.bus, "w1", "t4")
	s.awaitStage(protocol.AwaitingModels)
	if code := s.load(`{"path":"zoo/a","copies":7}`); code != protocol.OK {
		t.Fatal(code)
	}
	var all []string
	for after, pages := "", 0; ; pages++ {
		var list protocol.ModelList
		if err := json.Unmarshal(s.ask("clockwork.ls", fmt.Sprintf(`{"limit":3,"after":%q}`, after)).Data, &list); err != nil || list.Total != 7 || pages > 2 {
			t.Fatalf("page %d: %+v, %v", pages, list, err)
		}
		for _, m := range list.Models {
			all = append(all, m.Name)
		}
		if after = list.Next; after == "" {
			break
		}
	}
	if want := protocol.CopyNames("a", 7); !slices.Equal(all, want) {
		t.Errorf("the pages show %v", all)
	}
	var first, rest protocol.StackState
	_ = json.Unmarshal(s.ask("clockwork.state", `{"limit":4}`).Data, &first)
	_ = json.Unmarshal(s.ask("clockwork.state", fmt.Sprintf(`{"after":%q}`, first.Next)).Data, &rest)
	if len(first.Workers) != 1 || len(first.Models) != 4 || len(rest.Workers) != 0 || len(rest.Models) != 3 || rest.Next != "" || rest.ModelCount != 7 {
		t.Errorf("pages of the state: %+v and %+v", first, rest)
	}
	for name, n := range map[string]int{"a-3": 1, "a-8": 0} {
		var list protocol.ModelList
		if err := json.Unmarshal(s.ask("clockwork.ls", fmt.Sprintf(`{"name":%q}`, name)).Data, &list); err != nil || list.Total != 7 || len(list.Models) != n || n > 0 && list.Models[0].Name != name {
			t.Errorf("the model %s alone: %+v, %v", name, list, err)
		}
	}
	var workers protocol.StackState
	if err := json.Unmarshal(s.ask("clockwork.state", `{"no_models":true}`).Data, &workers); err != nil || len(workers.Workers) != 1 || len(workers.Models) != 0 || workers.Next != "" || workers.ModelCount != 7 {
		t.Errorf("the workers alone: %+v, %v", workers, err)
	}
	if m := s.ask("clockwork.ls", `{"limit":-1}`); !strings.Contains(string(m.Data), string(protocol.InvalidInput)) {
		t.Errorf("a negative limit: %s", m.Data)
	}
}

// Whoever asks can read a page, however large the messages of the broker are.
func TestAPageCanBeRead(t *testing.T) {
	for _, message := range []int64{1 << 20, bus.MaxPayload, 64 << 20} {
		m := protocol.ModelState{ModelSpec: protocol.ModelSpec{Name: "m"}}
		for range pageBytes(message)/2 - 512 { // "1,": the most elements that so many bytes hold
			m.BatchSizes = append(m.BatchSizes, 1)
		}
		for _, encoding := range []protocol.Encoding{protocol.JSON, protocol.Msgpack} {
			body := wire.EncodeBody(encoding, protocol.ModelList{Models: []protocol.ModelState{m}, Total: 1})
			var page protocol.ModelList
			if fault := wire.DecodeReply(body, &page); fault != nil || len(body) > pageBytes(message) {
				t.Errorf("a page of %d bytes on a broker of %d: %v", len(body), message, fault)
			}
		}
	}
}
