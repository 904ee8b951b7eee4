package client

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/wire"
)

// asked are all requests of a client, with an answer of Clockwork's to each.
var asked = map[string]struct {
	ask    func(*Client, context.Context) *protocol.Error
	answer any
}{
	"infer": {func(c *Client, ctx context.Context) *protocol.Error {
		_, refusal := c.Infer(ctx, "m", &protocol.InferRequest{}, time.Minute)
		return refusal
	}, json.RawMessage(`{"model_name":"m","parameters":{"latency_us":5,"batch_size":1,"cold_start":true,"buffered_ms":1,"scheduler_us":1,"queue_us":1,"input_us":1,"exec_us":1,"output_us":1},
		"outputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`)},
	"load": {func(c *Client, ctx context.Context) *protocol.Error {
		_, refusal := c.Load(ctx, protocol.LoadRequest{Path: "zoo/m"})
		return refusal
	}, protocol.LoadReply{Models: []string{"m-1", "m-2"}, Copies: 2, Inputs: specs, Outputs: specs, BatchSizes: []int{1, 2}, Pages: 3, Version: 1, MoreChanged: 2,
		Changed: []protocol.WorkerError{{Worker: "w", Code: protocol.ModelChanged, Message: "it is another"}}}},
	"ls": {func(c *Client, ctx context.Context) *protocol.Error {
		_, refusal := c.Models(ctx)
		return refusal
	}, protocol.ModelList{Models: []protocol.ModelState{served}, Total: 1}},
	"ls of one model": {func(c *Client, ctx context.Context) *protocol.Error {
		_, refusal := c.Model(ctx, "m")
		return refusal
	}, protocol.ModelList{Models: []protocol.ModelState{served}, Total: 1}},
	"state": {func(c *Client, ctx context.Context) *protocol.Error {
		_, refusal := c.State(ctx)
		return refusal
	}, stack},
	"state without models": {func(c *Client, ctx context.Context) *protocol.Error {
		_, refusal := c.Workers(ctx)
		return refusal
	}, stack},
	"state in brief": {func(c *Client, ctx context.Context) *protocol.Error {
		_, refusal := c.Brief(ctx)
		return refusal
	}, stack},
	"explain by the front doors": {func(c *Client, ctx context.Context) *protocol.Error {
		_, refusal := c.AskDoors(ctx, protocol.Question{IDs: []string{"a"}})
		return refusal
	}, protocol.DoorRecord{Door: "1", Requests: []protocol.DoorRequest{{ID: "1-1", Code: protocol.OK, Arrived: noon, LatencyMS: 1, BufferedMS: 1,
		SchedulerMS: 1, QueueMS: 1, InputMS: 1, ExecMS: 1, OutputMS: 1, ReplyMS: 1, Items: 1, Batch: 1}}}},
	"explain by the scheduler": {func(c *Client, ctx context.Context) *protocol.Error {
		_, refusal := c.AskScheduler(ctx, protocol.Question{IDs: []string{"1-1"}})
		return refusal
	}, explain.Report{Epoch: 1, Since: &noon, Summary: &explain.Summary{Requests: 1, Done: 1, Failed: 1, Open: 1, Forgotten: 1, Causes: []explain.Group{{Cause: "cold", Count: 1, Outcome: "late", Example: told}}},
		Requests: []explain.LiveExplanation{{Explanation: told, Arrived: noon}}}},
}

var (
	noon   = time.Unix(1_700_000_000, 0).UTC()
	second = 1000.0
	specs  = []protocol.TensorSpec{{Name: "x", Datatype: protocol.FP32, Shape: []int64{2}}}
	took   = protocol.Measurement{Samples: 1, Min: 1000, P50: 1000, P99: 1000, Max: 1000}
	served = protocol.ModelState{
		ModelSpec: protocol.ModelSpec{Name: "m", Path: "zoo/m", Version: 1, Inputs: specs, Outputs: specs, BatchSizes: []int{1, 2}, WeightsBytes: 5, Pages: 1},
		Profile:   []protocol.Profile{{GPUType: "v100", LoadWeights: took, Infer: []protocol.BatchMeasurement{{Batch: 1, Measurement: took}}}},
		Lacking:   []protocol.WorkerError{{Worker: "w", Code: protocol.NoMemory, Message: "none left"}}, MoreLacking: 1,
	}
	stack = protocol.StackState{
		Stage: protocol.Loading, Since: noon, Epoch: 1, Scheduler: protocol.Standby, Profiler: protocol.Standby, FrontDoor: protocol.FrontDoorOpen, GPUsServing: 1, ModelsServed: 1, ModelsUnavailable: 1,
		PageSize: 5, CountdownMS: &second, Buffered: 1, WorkerCount: 1, ModelCount: 1, QuarantinedCount: 1, GPUsStalled: 1, Models: []protocol.ModelState{served},
		Workers: []protocol.WorkerState{{ID: "w", Incarnation: 1, Epoch: 1, Backend: "emulated", PageSize: 5, GPUs: []protocol.GPUState{{ID: 1, Type: "v100", PagesTotal: 2, PagesUsed: 1,
			Models: []string{"m"}, Moving: []string{"n"}, Executor: 1}}, Models: []protocol.ModelSpec{}, Lacks: []protocol.Lack{{Model: "n", Code: protocol.NoMemory, Message: "none left"}}}},
	}
	told = &explain.Explanation{ID: "1-1", Model: "m", Outcome: "done late", Cause: "cold", Timeline: []explain.Link{{At: time.Second, Text: "arrived"}}}
)

// foreignBodies are not Clockwork's, whatever was asked.
var foreignBodies = []string{
	``, `{}`, `null`, `[]`, `[null]`, `pong`, `"pong"`, `7`, "\x80", "\xc0", "\xff\xff", `{"hello":"world"}`,
	`{"error":{}}`, `{"error":null}`, `{"error":[]}`, `{"error":"no"}`, `{"error":{"code":""}}`, `{"error":{"code":"OK"}}`, `{"error":{"code":"not found","message":"x"}}`,
	`{"error":{"code":null,"message":"x"}}`, `{"error":{"code":"OVERLOADED","retry_ms":-1}}`, `{"error":{"code":"OVERLOADED","workers":[null]}}`,
	"\x81\xa5error\x80", "\x81\xa5error\xc0",
	`{"stage":"ACTIVE"}`, `{"stage":"ASLEEP"}`, `{"stage":null,"models":null}`, `{"models":[null]}`, `{"models":{}}`, `{"models":[[]]}`, `{"models":[{}],"total":1}`, `{"models":["m",null],"copies":2}`,
	`{"model_name":"m"}`, `{"model_name":"m","parameters":null}`, `{"door":"x"}`, `{"door":"x","requests":[null]}`, `{"epoch":1,"requests":[null]}`, `{"epoch":-1}`, `{"epoch":1,"summary":{}}`,
}

// isForeign reports whether an error says that the answer is not Clockwork's.
func isForeign(refusal *protocol.Error) bool {
	return refusal != nil && refusal.Code == protocol.BadMessage && strings.Contains(refusal.Message, "is not Clockwork's: ")
}

func TestAForeignAnswerIsAnErrorWhateverWasAsked(t *testing.T) {
	s := bustest.Server(t)
	c, err := Connect(s.ClientURL(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	other, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	var body []byte
	if _, err := other.Subscribe("clockwork.>", func(m *nats.Msg) {
		reply := nats.NewMsg(m.Reply)
		reply.Data = body
		_ = other.PublishMsg(reply)
	}); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	for name, row := range asked {
		if body = wire.EncodeBody(protocol.JSON, row.answer); row.ask(c, t.Context()) != nil {
			t.Errorf("%s: Clockwork's own answer: %v", name, row.ask(c, t.Context()))
		}
		if body = []byte(`{"error":{"code":"OVERLOADED","message":"too many","retryable":true}}`); name != "" {
			if refusal := row.ask(c, t.Context()); refusal == nil || refusal.Code != protocol.Overloaded {
				t.Errorf("%s: Clockwork's own error: %v", name, refusal)
			}
		}
		for _, text := range foreignBodies {
			if body = []byte(text); !isForeign(row.ask(c, t.Context())) {
				t.Errorf("%s, answered %q: %v", name, text, row.ask(c, t.Context()))
			}
		}
	}
}

func TestAForeignOutcomeIsAnError(t *testing.T) {
	c := &Client{subjects: protocol.Subjects{Prefix: "clockwork"}}
	var got Outcome
	a := &Async{client: c, answered: func(_ uint64, o Outcome) { got = o }}
	for _, text := range append(foreignBodies, `{"model_name":"m","parameters":{"batch_size":1,"latency_us":-1}}`, "\x81\xaaparameters\x80", "\x81\xaaparameters\xc0") {
		if strings.Contains(text, "OVERLOADED") {
			continue // only the code of an error is read
		}
		a.onReply(&nats.Msg{Subject: "_INBOX.x.1", Data: []byte(text)})
		if got.Code != protocol.BadMessage || !isForeign(got.Refusal()) {
			t.Errorf("%q: %s, %v", text, got.Code, got.Refusal())
		}
	}
	a.onReply(&nats.Msg{Subject: "_INBOX.x.1", Data: []byte(`{"error":{"code":"BAD_MESSAGE","message":"the id is too long"}}`)})
	if refusal := got.Refusal(); got.Code != protocol.BadMessage || refusal.Message != "the id is too long" {
		t.Errorf("Clockwork's own: %v", refusal)
	}
}

// free are values about which nothing is known: any number may be Clockwork's.
var free = []string{".slo_ms", ".core", ".incarnation", ".executors_ended", ".earliest_ms"}

// TestEveryValueOfAnAnswerIsChecked changes one value after the other.
func TestEveryValueOfAnAnswerIsChecked(t *testing.T) {
	answers := map[string]any{
		"live statistics of a front door": protocol.LiveStats{At: noon, SpanMS: 1, FrontDoor: &protocol.FrontDoorStats{Stage: "ACTIVE", InFlight: 1, Models: 1, Codes: map[protocol.Code]int{protocol.Overloaded: 1},
			Answers: protocol.Answers{Wrong: 1}, Busiest: []protocol.ModelStats{{Model: "m", Cold: 1, P50US: 1, P99US: 1}}}},
		"live statistics of a scheduler": protocol.LiveStats{At: noon, SpanMS: 1, Scheduler: &protocol.SchedulerStats{Workers: 1, Lacking: 1, Queued: 1, Copies: map[string]int{"m": 1}, Lanes: []protocol.LaneStats{{Worker: "w"}}}},
		"live statistics of a worker":    protocol.LiveStats{At: noon, SpanMS: 1, Worker: &protocol.WorkerStats{Hidden: 1, GPUs: []protocol.GPUStats{{Type: "v100", Exec: []int{1}, Load: []int{1}, Failed: 1}}}},
		"an event":                       protocol.Event{Kind: protocol.EventProfile, At: noon, Done: 1, Total: 2, LeftMS: 1},
	}
	for name, row := range asked {
		answers[name] = row.answer
	}
	for name, answer := range answers {
		var tree any
		if err := json.Unmarshal(wire.EncodeBody(protocol.JSON, answer), &tree); err != nil {
			t.Fatal(err)
		}
		check := func(where string, foreign bool) {
			t.Helper()
			body, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			if refusal := readAnswer("a.b", body, into(name, answer)); isForeign(refusal) != foreign {
				t.Errorf("%s, %s: %v", name, where, refusal)
			}
		}
		check("as it is", false)
		vary(&tree, func(v any) { tree = v }, "", check)
	}
}

// into returns a value of the type of an answer.
func into(name string, answer any) any {
	switch answer.(type) {
	case protocol.LoadReply:
		return new(protocol.LoadReply)
	case protocol.ModelList:
		return new(protocol.ModelList)
	case protocol.StackState:
		return new(protocol.StackState)
	case protocol.DoorRecord:
		return new(protocol.DoorRecord)
	case explain.Report:
		return new(explain.Report)
	case protocol.LiveStats:
		return new(protocol.LiveStats)
	case protocol.Event:
		return new(protocol.Event)
	}
	if name != "infer" {
		panic(name + " has a type without a check")
	}
	return new(protocol.InferResponse)
}

// vary sets each value within a tree to values that Clockwork's answers do not have there.
func vary(at any, set func(any), where string, check func(where string, foreign bool)) {
	try := func(v, was any) {
		set(v)
		check(fmt.Sprintf("%s = %v", where, v), true)
		set(was)
	}
	switch v := at.(type) {
	case *any:
		vary(*v, set, where, check)
	case map[string]any:
		if where != "" {
			try("text", v)
			try([]any{1}, v)
		}
		for _, key := range slices.Sorted(maps.Keys(v)) {
			vary(v[key], func(to any) { v[key] = to }, where+"."+key, check)
		}
	case []any:
		try(map[string]any{"a": 1}, v)
		if !strings.HasSuffix(where, ".shape") && len(v) > 0 && !strings.HasSuffix(where, "[0]") && !strings.Contains(where, ".latency.") && !strings.HasSuffix(where, ".data") && !strings.HasSuffix(where, ".exec") && !strings.HasSuffix(where, ".load") {
			try(append([]any{nil}, v...), v)
		}
		for i := range v {
			vary(v[i], func(to any) { v[i] = to }, fmt.Sprintf("%s[%d]", where, i), check)
		}
	case float64:
		try("text", v)
		if !slices.ContainsFunc(free, func(key string) bool { return strings.HasSuffix(where, key) }) && !strings.Contains(where, ".data[") {
			if !strings.HasSuffix(where, ".at_ns") {
				try(-1.0, v)
			}
			if !strings.HasSuffix(where, "epoch") && !strings.HasSuffix(where, "_bytes") && !strings.HasSuffix(where, "page_size") {
				try(9e18, v)
			}
		}
	case string:
		try(7.0, v)
	case bool:
		try("text", v)
	}
}
