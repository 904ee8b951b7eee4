package bus

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/wire"
)

// Every message fits into the smallest message that a broker may carry (MinMessage), or
// travels in several. A new subject needs a row in sizes, a new field of a message its
// bound in bounds: nobody has to remember.

// travels is how the messages of a subject stay small enough.
type travels struct {
	// largest returns the encoded message with everything at its bound; nil where otherwise
	// says how it is cut, or whose limit it has.
	largest   func(*testing.T) []byte
	otherwise string
}

const (
	inChunks  = "in chunks: wire.SplitChunks, wire.SplitResults"
	inHalves  = "in as many messages as needed: PublishCut; one of its items fits"
	ofClients = "the client's own size, PAYLOAD_TOO_LARGE beyond the broker's"
	nothing   = "it holds nothing"
)

var sizes = map[string][]travels{
	"Infer":       {{otherwise: ofClients}},
	"InferBy":     {{otherwise: ofClients}},
	"Lane":        {{otherwise: ofClients}},
	"LaneAll":     {{otherwise: ofClients}},
	"LaneBy":      {{otherwise: ofClients}},
	"Buffer":      {{otherwise: ofClients}},
	"Load":        {{largest: jsonOrMsgpack(protocol.JSON, loadReply)}, {largest: jsonOrMsgpack(protocol.Msgpack, loadReply)}, {largest: refusal}},
	"Ls":          {{largest: jsonOrMsgpack(protocol.JSON, modelPage)}, {largest: jsonOrMsgpack(protocol.Msgpack, modelPage)}},
	"State":       {{largest: jsonOrMsgpack(protocol.JSON, modelOfState)}, {largest: jsonOrMsgpack(protocol.JSON, workerOfState)}},
	"Event":       {{largest: jsonOrMsgpack(protocol.JSON, filled[protocol.Event])}},
	"Watch":       {{otherwise: nothing}},
	"LiveStats":   {{largest: jsonOrMsgpack(protocol.JSON, liveStats(0))}, {largest: jsonOrMsgpack(protocol.JSON, liveStats(1))}, {largest: jsonOrMsgpack(protocol.JSON, liveStats(2))}},
	"Explain":     {{largest: jsonOrMsgpack(protocol.JSON, doorRecord)}, {largest: jsonOrMsgpack(protocol.JSON, report)}, {largest: jsonOrMsgpack(protocol.JSON, filled[protocol.Question])}},
	"Submit":      {{otherwise: inHalves}, {largest: encoded(wire.Submissions, one[protocol.SubmissionBatch])}},
	"Submissions": {{otherwise: inHalves}},
	"Dispatch":    {{otherwise: inHalves}, {largest: encoded(wire.Dispatches, list[protocol.Dispatch])}},
	"Action":      {{otherwise: inHalves}, {largest: encoded(wire.Actions, actionOf(true))}, {largest: encoded(wire.Actions, actionOf(false))}},
	"Input":       {{otherwise: inHalves + ", its payload bounded by the front door"}},
	"Output":      {{otherwise: "services/worker cuts them by their bytes"}},
	"OutputOf":    {{otherwise: "services/worker cuts them by their bytes"}},

	"SchedulerStart": {{otherwise: inChunks}},
	"SchedulerJoin":  {{otherwise: inChunks}},
	"ProfilerStart":  {{otherwise: inChunks}},
	"ProfilerReport": {{otherwise: inChunks}},
	"Result":         {{otherwise: inChunks}},

	"Heartbeat": {{largest: encoded(wire.Heartbeat, filled[protocol.Heartbeat])}},
	"Health":    {{largest: encoded(wire.Heartbeat, filled[protocol.Heartbeat])}},
	"HealthBy":  {{otherwise: "as Health"}},
	"Clock":     {{largest: encoded(wire.Clock, filled[protocol.ClockReading])}},
	// Values of the store.
	"Store": {
		{largest: jsonOrMsgpack(protocol.JSON, filled[wire.StoredStage])},
		{largest: jsonOrMsgpack(protocol.JSON, storedModel)},
		{largest: jsonOrMsgpack(protocol.JSON, filled[wire.StoredQuarantine])},
		{largest: jsonOrMsgpack(protocol.JSON, filled[protocol.Profile])},
		{largest: jsonOrMsgpack(protocol.JSON, storedWorker)},
		{largest: jsonOrMsgpack(protocol.JSON, filled[wire.StoredFence])},
		{largest: jsonOrMsgpack(protocol.JSON, filled[wire.StoredLease])},
	},
}

func TestEveryMessageFitsIntoTheSmallest(t *testing.T) {
	for subject, rows := range sizes {
		if _, named := reflect.TypeFor[protocol.Subjects]().MethodByName(subject); !named {
			t.Errorf("there is no Subjects.%s", subject)
		}
		for i, row := range rows {
			if (row.largest == nil) == (row.otherwise == "") {
				t.Errorf("%s, row %d: it fits, or there is a way in which it travels", subject, i)
			} else if row.largest != nil {
				n := len(row.largest(t))
				t.Logf("%-14s %d: %6d bytes at most", subject, i, n)
				if n > protocol.MinMessage {
					t.Errorf("%s, row %d: %d bytes, and the smallest message has %d", subject, i, n, protocol.MinMessage)
				}
			}
		}
	}
}

func TestEverySubjectHasASize(t *testing.T) {
	for subject := range readings {
		if subject != "" && len(sizes[subject]) == 0 {
			t.Errorf("how large is a message on Subjects.%s? give sizes a row", subject)
		}
	}
}

// bound is how many bytes a string has, or elements a list or a map. Texts may hold any
// characters, those of which JSON makes six bytes included.
type bound struct {
	n    int
	text bool
}

const code = 24 // bytes of a code

var (
	name   = bound{n: protocol.MaxName}
	words  = bound{protocol.MaxText + len("..."), true}
	short  = bound{protocol.MaxWorkerText + len("..."), true}
	reason = bound{n: 200} // made of names and numbers
)

// bounds are the bounds of strings, lists and maps, by type and field; of a type for all of
// its fields that are not named.
var bounds = map[string]bound{
	"Event": name, "Event.Path": {4096, true}, "Event.Message": words, "Event.Code": {n: code},
	"LoadReply.Models": {n: 1}, "LoadReply.Models[]": name, "LoadReply.Changed": {n: protocol.MaxWorkerErrors}, "LoadReply.BatchSizes": {n: len(protocol.BatchSizes)},
	"LoadReply.Notes": {n: 12}, "LoadReply.Notes[]": short, "LoadReply.Warnings": {n: 2}, "LoadReply.Warnings[]": reason, "LoadReply.Inputs": {}, "LoadReply.Outputs": {},
	"Error": name, "Error.Code": {n: code}, "Error.Message": words, "Error.Workers": {n: protocol.MaxWorkerErrors},
	"WorkerError": name, "WorkerError.Code": {n: code}, "WorkerError.Message": short,
	"ModelState.Profile": {}, "ModelState.Quarantined": words, "ModelState.Lacking": {n: protocol.MaxWorkerErrors},
	"ModelList.Models": {}, "ModelList.Next": name,
	"StackState": name, "StackState.StoreFault": words, "StackState.Workers": {}, "StackState.Models": {}, "StackState.Next": {n: 4 * protocol.MaxName},
	"WorkerState": name, "WorkerState.GPUs": {n: protocol.MaxGPUs}, "WorkerState.Models": {}, "WorkerState.Profiles": {}, "WorkerState.Lacks": {n: protocol.MaxWorkerErrors},
	"GPUState": name, "GPUState.UUID": {n: protocol.MaxName + 8}, "GPUState.Models": {n: 256}, "GPUState.Moving": {n: 4}, "GPUState.Stalled": reason,
	"Lack": name, "Lack.Code": {n: code}, "Lack.Message": short,
	"FrontDoorStats": name, "FrontDoorStats.Codes": {n: len(protocol.Codes)}, "FrontDoorStats.Busiest": {n: protocol.MaxModelStats}, "ModelStats": name,
	"SchedulerStats.Copies": {n: protocol.MaxCopyStats}, "SchedulerStats.Lanes": {n: protocol.MaxLaneStats}, "LaneStats": name,
	"WorkerStats.GPUs": {n: protocol.MaxGPUStats}, "GPUStats": name, "GPUStats.Exec": {n: protocol.SlicesASecond}, "GPUStats.Load": {n: protocol.SlicesASecond},
	"GPUStats.Stalled": reason, "Histogram": {n: 232},
	"DoorRecord": name, "DoorRecord.Requests": {n: protocol.MaxAlike}, "DoorRecord.LeftOut": {n: protocol.MaxQuestionIDs}, "DoorRecord.LeftOut[]": name,
	"DoorRequest": name, "DoorRequest.ClientID": {protocol.MaxName, true}, "DoorRequest.Code": {n: code}, "DoorRequest.Why": words,
	"Question.IDs": {n: protocol.MaxQuestionIDs}, "Question.IDs[]": name,
	"Report.Requests": {n: 1}, "Report.LeftOut": {n: protocol.MaxQuestionIDs}, "Report.LeftOut[]": name, "Summary.Causes": {n: 17}, "Group": name,
	"Explanation": name, "Explanation.Timeline": {n: 27}, "Explanation.WhatIf": {n: 4}, "Explanation.WhatIf[]": reason, "Link": {n: 250},
	"SubmissionBatch.Answered": {n: 1}, "SubmissionBatch.Requests": {n: 1}, "SubmissionBatch.Withdrawn": {n: 1}, "Submission": name, "Submitted.Reply": {n: protocol.MaxReply},
	"Dispatch": name,
	"Action":   name, "Action.Requests": {n: 1024}, "Action.Models": {}, "LoadSpec": name, "LoadSpec.Path": {n: 4096}, "LoadSpec.Names": {}, "Leader": name,
	"Heartbeat": name, "Heartbeat.GPUs": {n: protocol.MaxGPUs}, "Heartbeat.Quarantined": {n: protocol.MaxQuarantined}, "QuarantinedModel": name,
	"StoredModel.Load": name, "StoredQuarantine": name, "StoredQuarantine.Reason": words, "StoredFence": {n: 255}, "StoredLease": {n: 255},
	"Profile": name, "Profile.Infer": {n: len(protocol.BatchSizes)},
	"ModelSpec": {},
}

// fill sets every field of a value to its largest.
func fill(t *testing.T, v reflect.Value, where string) {
	find := func() bound {
		for _, key := range []string{where, strings.Split(where, ".")[0]} {
			if b, known := bounds[key]; known {
				return b
			}
		}
		t.Errorf("%s has no bound: give it one in bounds", where)
		return bound{}
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 11, 24, 20, 11, 59, 123456789, time.UTC)))
		return
	}
	if n := v.Type().Name(); n != "" && v.Kind() == reflect.Slice {
		where = n
	}
	switch v.Kind() {
	case reflect.String:
		b, letter := find(), "m"
		if b.text {
			letter = "<"
		}
		v.SetString(strings.Repeat(letter, b.n))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), find().n, find().n))
		for i := range v.Len() {
			fill(t, v.Index(i), where+"[]")
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for i := range find().n {
			key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
			key.SetString(fmt.Sprintf("%0*d", protocol.MaxName, i))
			fill(t, value, where+"[]")
			v.SetMapIndex(key, value)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				fill(t, v.Field(i), v.Type().Name()+"."+f.Name)
			}
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, v.Index(i), where+"[]")
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem(), where)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(math.MaxInt64) >> (64 - v.Type().Bits()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(math.MaxUint64 >> (64 - v.Type().Bits()))
	case reflect.Float64:
		v.SetFloat(123456789.123456789)
	default:
		t.Errorf("%s is a %s, which fill does not know", where, v.Kind())
	}
}

func filled[T any](t *testing.T) *T {
	v := new(T)
	fill(t, reflect.ValueOf(v).Elem(), reflect.TypeFor[T]().Name())
	return v
}

func one[T any](t *testing.T) *T { return filled[T](t) }

func list[T any](t *testing.T) *[]T { return &[]T{*filled[T](t)} }

func jsonOrMsgpack[T any](encoding protocol.Encoding, largest func(*testing.T) *T) func(*testing.T) []byte {
	return func(t *testing.T) []byte { return wire.EncodeBody(encoding, largest(t)) }
}

func encoded[T any](codec wire.Codec[T], largest func(*testing.T) *T) func(*testing.T) []byte {
	return func(t *testing.T) []byte { return codec.Encode(largest(t)) }
}

// description is a model of the largest description.
func description() protocol.ModelSpec {
	m := protocol.ModelSpec{Name: strings.Repeat("m", protocol.MaxName), Digest: strings.Repeat("d", 64), BatchSizes: protocol.BatchSizes}
	for len(wire.EncodeBody(protocol.JSON, m)) <= protocol.MinMessage/4 { // startup.Config.MaxDescription
		m.Inputs = append(m.Inputs, protocol.TensorSpec{Name: "<past.key>", Datatype: protocol.FP32, Shape: []int64{1 << 20, 1 << 20}})
	}
	return m
}

func modelState(t *testing.T) protocol.ModelState {
	m := *filled[protocol.ModelState](t)
	m.ModelSpec = description()
	return m
}

func modelPage(t *testing.T) *protocol.ModelList {
	page := filled[protocol.ModelList](t)
	page.Models = []protocol.ModelState{modelState(t)}
	return page
}

func modelOfState(t *testing.T) *protocol.StackState {
	s := filled[protocol.StackState](t)
	s.Models = []protocol.ModelState{modelState(t)}
	return s
}

// workerOfState is a page with the largest piece of a worker (services/controller).
func workerOfState(t *testing.T) *protocol.StackState {
	s := filled[protocol.StackState](t)
	w := filled[protocol.WorkerState](t)
	w.GPUs = w.GPUs[:1]
	w.Lacks = nil
	for range 5 { // 4 KiB and one more
		w.Lacks = append(w.Lacks, protocol.Lack{Model: strings.Repeat("m", protocol.MaxName), Message: strings.Repeat("<", words.n)})
	}
	s.Workers = []protocol.WorkerState{*w}
	return s
}

func loadReply(t *testing.T) *protocol.LoadReply {
	r := filled[protocol.LoadReply](t)
	r.Inputs = description().Inputs
	return r
}

func refusal(t *testing.T) []byte {
	e := filled[protocol.Error](t)
	for range 4096 {
		e.Workers = append(e.Workers, e.Workers[0])
	}
	body, _ := wire.EncodeError(protocol.JSON, e)
	return body
}

// liveStats has one of its parts.
func liveStats(part int) func(*testing.T) *protocol.LiveStats {
	return func(t *testing.T) *protocol.LiveStats {
		f := filled[protocol.LiveStats](t)
		parts := []bool{part == 0, part == 1, part == 2}
		if !parts[0] {
			f.FrontDoor = nil
		}
		if !parts[1] {
			f.Scheduler = nil
		}
		if !parts[2] {
			f.Worker = nil
		}
		return f
	}
}

func doorRecord(t *testing.T) *protocol.DoorRecord { return filled[protocol.DoorRecord](t) }

// report is a scheduler's, as it shortens it (services/scheduler).
func report(t *testing.T) *explain.Report {
	r := filled[explain.Report](t)
	r.Requests = nil
	for i := range r.Summary.Causes {
		r.Summary.Causes[i].Example.Timeline[0].Text = strings.Repeat("<", words.n)
	}
	r.Summary.Shorten(protocol.MaxAnswer, func(e *explain.Explanation) int { return len(wire.EncodeBody(protocol.JSON, e)) })
	return r
}

// actionOf is the largest order: a load, or an execution.
func actionOf(load bool) func(*testing.T) *[]protocol.Action {
	return func(t *testing.T) *[]protocol.Action {
		a := filled[protocol.Action](t)
		if load {
			a.Requests = nil
			for bytes := 0; bytes < protocol.MinMessage/2; bytes += protocol.MaxName + 2 { // startup.Config.MaxNames
				a.Load.Names = append(a.Load.Names, strings.Repeat("m", protocol.MaxName))
			}
		} else {
			a.Load = nil
		}
		return &[]protocol.Action{*a}
	}
}

func storedModel(t *testing.T) *wire.StoredModel {
	return &wire.StoredModel{ModelSpec: description(), Load: strings.Repeat("l", protocol.MaxName), Of: math.MaxInt}
}

// storedWorker is a worker's record (services/controller).
func storedWorker(t *testing.T) *protocol.WorkerState {
	w := filled[protocol.WorkerState](t)
	for i := range w.GPUs {
		g := &w.GPUs[i]
		g.Models, g.Moving, g.PagesUsed, g.Stalled, g.Executor, g.Processor = []string{}, nil, 0, "", 0, ""
	}
	return w
}
