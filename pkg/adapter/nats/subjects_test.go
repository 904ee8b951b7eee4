package bus

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/wire"
)

// reading is how the messages of a subject are read.
type reading struct {
	// where is the package that reads them, call how it does.
	where, call string
	// bombs are what is sent, and decode what the call comes to; nil where nothing
	// of the message is decoded, which unread explains.
	bombs  func() []hostile.Bomb
	decode func([]byte) error
	unread string
}

func clients() []hostile.Bomb { return append(hostile.Msgpack(), hostile.JSON()...) }

// internals are bombs behind the version byte of an internal message, and
// without it.
func internals() (bombs []hostile.Bomb) {
	for _, b := range clients() {
		bombs = append(bombs, b, hostile.Bomb{Name: b.Name + ", versioned", Body: append([]byte{wire.Version}, b.Body...)})
	}
	return bombs
}

// parcels are bombs inside of a part, and in place of one.
func chunks() (bombs []hostile.Bomb) {
	for _, b := range internals() {
		bombs = append(bombs, b, hostile.Bomb{Name: b.Name + ", in a part", Body: part(b.Body)})
	}
	return bombs
}

func part(body []byte) []byte {
	parts, err := wire.SplitChunks(1, body, 64<<20)
	if err != nil {
		panic(err) // bombs are small
	}
	return parts[0]
}

func body[T any](decode func([]byte, any) *protocol.Error) func([]byte) error {
	return func(b []byte) error { return failure(decode(b, new(T))) }
}

func codec[T any](c wire.Codec[T]) func([]byte) error {
	return func(b []byte) error {
		_, fault := c.Decode(b)
		return failure(fault)
	}
}

func chunk[T any](c wire.Codec[T]) func([]byte) error {
	return func(b []byte) error {
		_, _, fault := wire.NewChunks(c).Add(b)
		return failure(fault)
	}
}

func inferred(b []byte) error {
	_, fault := wire.DecodeInfer(b)
	return failure(fault)
}

func resulted(b []byte) error {
	bus := &Bus{Subjects: protocol.Subjects{Prefix: protocol.DefaultPrefix}}
	_, fault := bus.NewResults(1).Read(&nats.Msg{Subject: bus.Subjects.Result("w"), Data: b})
	return failure(fault)
}

// failure is nil where there is none: a nil *protocol.Error is no nil error.
func failure(fault *protocol.Error) error {
	if fault == nil {
		return nil
	}
	return fault
}

// readings has a row for each method of protocol.Subjects that names a subject.
var readings = map[string][]reading{
	"Infer":   {{where: "services/frontdoor", call: "wire.DecodeInfer(body)", bombs: clients, decode: inferred}},
	"InferBy": {{where: "services/frontdoor", call: "wire.DecodeInfer(body)", bombs: clients, decode: inferred}},
	"Lane":    {{where: "services/frontdoor", call: "wire.DecodeInfer(body)", bombs: clients, decode: inferred}},
	"LaneAll": {{where: "services/frontdoor", call: "wire.DecodeInfer(body)", bombs: clients, decode: inferred}},
	"LaneBy":  {{where: "services/frontdoor", call: "wire.DecodeInfer(body)", bombs: clients, decode: inferred}},
	"Load": {
		{where: "services/controller", call: "wire.DecodeBody(m.Data, &request)", bombs: clients, decode: body[protocol.LoadRequest](wire.DecodeBody)},
		{where: "pkg/client", call: "wire.DecodeReply(body, into)", bombs: replies, decode: body[protocol.LoadReply](wire.DecodeReply)},
	},
	"Ls": {
		{where: "services/controller", call: "l.onLs", unread: "its first byte says how to answer"},
		{where: "pkg/client", call: "wire.DecodeReply(body, into)", bombs: replies, decode: body[protocol.ModelList](wire.DecodeReply)},
	},
	"State": {
		{where: "services/controller", call: "l.onState", unread: "its first byte says how to answer"},
		{where: "pkg/client", call: "wire.DecodeReply(body, into)", bombs: replies, decode: body[protocol.StackState](wire.DecodeReply)},
	},
	"Event":          {{where: "pkg/client", call: "wire.DecodeReply(body, into)", bombs: replies, decode: body[protocol.Event](wire.DecodeReply)}},
	"Submit":         {{where: "services/scheduler", call: "wire.Submissions.Decode(m.Data)", bombs: internals, decode: codec(wire.Submissions)}},
	"Submissions":    {{where: "services/scheduler", call: "wire.Submissions.Decode(m.Data)", bombs: internals, decode: codec(wire.Submissions)}},
	"SchedulerStart": {{where: "services/scheduler", call: "wire.NewChunks(wire.Start)", bombs: chunks, decode: chunk(wire.Start)}},
	"SchedulerJoin":  {{where: "services/scheduler", call: "wire.NewChunks(wire.Join)", bombs: chunks, decode: chunk(wire.Join)}},
	"ProfilerStart":  {{where: "services/profiler", call: "wire.NewChunks(wire.Job)", bombs: chunks, decode: chunk(wire.Job)}},
	"ProfilerReport": {{where: "services/controller", call: "wire.NewChunks(wire.Report)", bombs: chunks, decode: chunk(wire.Report)}},
	"Action":         {{where: "services/worker", call: "wire.Actions.Decode(m.Data)", bombs: internals, decode: codec(wire.Actions)}},
	"Input":          {{where: "services/worker", call: "wire.Inputs.Decode(m.Data)", bombs: internals, decode: codec(wire.Inputs)}},
	"Dispatch":       {{where: "services/frontdoor", call: "wire.Dispatches.Decode(m.Data)", bombs: internals, decode: codec(wire.Dispatches)}},
	"Output":         {{where: "services/frontdoor", call: "wire.Outputs.Decode(m.Data)", bombs: internals, decode: codec(wire.Outputs)}},
	"OutputOf":       {{where: "services/frontdoor", call: "wire.Outputs.Decode(m.Data)", bombs: internals, decode: codec(wire.Outputs)}},
	"Result": {
		{where: "services/scheduler", call: "t.results.Read(m)", bombs: internals, decode: resulted},
		{where: "services/controller", call: "l.results.Read(m)", bombs: internals, decode: resulted},
		{where: "pkg/adapter/nats", call: "c.results.Read(m)", bombs: internals, decode: resulted},
	},
	"Heartbeat": {{where: "pkg/adapter/nats", call: "Heartbeat.Decode(m.Data)", bombs: internals, decode: codec(wire.Heartbeat)}},
	"Health": {
		{where: "pkg/adapter/nats", call: "string(m.Data) != id", unread: "it is compared with the id of who is asked"},
		{where: "pkg/adapter/nats", call: "Heartbeat.Decode(m.Data)", bombs: internals, decode: codec(wire.Heartbeat)},
	},
	"HealthBy":  {{where: "pkg/adapter/nats", call: "string(m.Data) != id", unread: "it is Health with the asker at its end"}},
	"Watch":     {{where: "pkg/adapter/nats", call: "case f.watched <- struct{}{}:", unread: "it holds nothing"}},
	"LiveStats": {{where: "pkg/client", call: "wire.DecodeReply(body, into)", bombs: replies, decode: body[protocol.LiveStats](wire.DecodeReply)}},
	"Explain": {
		{where: "pkg/adapter/nats", call: "DecodeBody(body, &q)", bombs: clients, decode: body[protocol.Question](wire.DecodeBody)},
		{where: "pkg/client", call: "wire.DecodeReply(body, into)", bombs: replies, decode: body[protocol.DoorRecord](wire.DecodeReply)},
		{where: "pkg/client", call: "wire.DecodeReply(body, into)", bombs: replies, decode: body[explain.Report](wire.DecodeReply)},
	},
	"Clock": {
		{where: "services/scheduler", call: "t.onClock", unread: "the question holds nothing"},
		{where: "services/worker", call: "wire.Clock.Decode(m.Data)", bombs: internals, decode: codec(wire.Clock)},
	},
	"Buffer": {{where: "services/frontdoor", call: "wire.DecodeInfer(body)", bombs: clients, decode: inferred}},
	"Store":  {{where: "pkg/adapter/nats", call: `b.Subjects.Store() + "."`, unread: "the broker reads it"}},
	// What is read besides: answers to clients, what the controller hears of the
	// scheduler's start, and what stands in the store.
	"": {
		{where: "pkg/client", call: "wire.DecodeResponse(body)", bombs: clients, decode: func(b []byte) error {
			_, fault := wire.DecodeResponse(b)
			return failure(fault)
		}},
		{where: "pkg/client", call: "wire.ReadError(body)", bombs: refusals, decode: func(b []byte) error { return failure(wire.DecodeError(b)) }},
		{where: "services/controller", call: "wire.Heartbeat.Decode(answer.Data)", bombs: internals, decode: codec(wire.Heartbeat)},
		{where: "pkg/adapter/nats", call: "decodeStored(r.data, &v)", bombs: stored, decode: func(b []byte) error { return decodeStored(b, new(wire.StoredStage)) }},
		{where: "pkg/adapter/nats", call: "isValue(key, r.data)", bombs: stored, decode: func(b []byte) error {
			for _, key := range []string{"stage", "model.m", "quarantine.m", "profile.d.g", "worker.w", "fence.controller"} {
				if isValue(key, b) {
					return nil
				}
			}
			return errors.New("no value of any key")
		}},
		{where: "pkg/adapter/nats", call: "decodeStored(r.data, &v) != nil {\n\t\treturn claim.Claim{}", bombs: stored, decode: func(b []byte) error { return decodeStored(b, new(wire.StoredClaim)) }},
		{where: "pkg/adapter/nats", call: "decodeStored(body, &v)", bombs: stored, decode: func(b []byte) error { return decodeStored(b, new(wire.StoredLease)) }},
	},
}

// replies leaves out the bombs that only a client's bound refuses: a reply may
// name more.
func replies() []hostile.Bomb { return without("too many", clients()) }

// stored are replies that stand in the store, which holds JSON alone.
func stored() []hostile.Bomb { return without("too many", hostile.JSON()) }

func without(words string, bombs []hostile.Bomb) (left []hostile.Bomb) {
	for _, b := range bombs {
		if !strings.HasSuffix(b.Name, words) {
			left = append(left, b)
		}
	}
	return left
}

// refusals are bombs that begin as an error does: of anything else DecodeError
// says that it is none.
func refusals() (bombs []hostile.Bomb) {
	for _, b := range hostile.Msgpack() {
		bombs = append(bombs, hostile.Bomb{Name: b.Name, Body: append([]byte("\x81\xa5error"), b.Body...)})
	}
	for _, b := range hostile.JSON() {
		bombs = append(bombs, hostile.Bomb{Name: b.Name, Body: append([]byte(`{"error":`), b.Body...)})
	}
	return bombs
}

func TestEverySubjectRefusesBombs(t *testing.T) {
	for subject, rows := range readings {
		for _, r := range rows {
			if r.decode == nil {
				continue
			}
			for _, bomb := range r.bombs() {
				what := strings.TrimSpace(subject + " " + r.call + ": " + bomb.Name)
				hostile.Within(t, len(bomb.Body)+1<<20, what, func() {
					err := r.decode(bomb.Body)
					if err == nil {
						t.Errorf("%s: it is accepted", what)
					}
				})
			}
		}
	}
}

func TestEverySubjectHasARow(t *testing.T) {
	subjects := reflect.TypeFor[protocol.Subjects]()
	for i := range subjects.NumMethod() {
		m := subjects.Method(i)
		if m.Name == "Token" || m.Type.NumOut() != 1 || m.Type.Out(0).Kind() != reflect.String {
			continue // it names no subject
		}
		if len(readings[m.Name]) == 0 {
			t.Errorf("nobody knows who reads Subjects.%s: give readings a row with its decoder, which is sent bombs", m.Name)
		}
	}
}

func TestEveryRowIsHowASubjectIsRead(t *testing.T) {
	for subject, rows := range readings {
		if _, named := reflect.TypeFor[protocol.Subjects]().MethodByName(subject); !named && subject != "" {
			t.Errorf("there is no Subjects.%s", subject)
		}
		for _, r := range rows {
			if (r.decode == nil) == (r.unread == "") {
				t.Errorf("%s, %s: it is decoded, or there is a reason why not", subject, r.call)
			}
			if !calls(t, r.where, r.call) {
				t.Errorf("%s: %s has no %s any more", subject, r.where, r.call)
			}
		}
	}
}

// calls reports whether a package of this module has a call.
func calls(t *testing.T, where, call string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "..", where, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v", where, err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(source), call) {
			return true
		}
	}
	return false
}
