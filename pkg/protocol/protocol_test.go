package protocol

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTimeDoesNotOverflowPastNever(t *testing.T) {
	for _, c := range []struct {
		at   Time
		d    time.Duration
		want Time
	}{
		{0, time.Second, Time(time.Second)},
		{Never, time.Second, Never},
		{Never, -time.Second, Never},
		{Never - 5, 10, Never},
		{100, -40, 60},
	} {
		if got := c.at.Add(c.d); got != c.want {
			t.Errorf("%d.Add(%d) = %d, want %d", c.at, c.d, got, c.want)
		}
	}
}

func TestNamesAreSingleTokens(t *testing.T) {
	good := []string{"a", "resnet50_v2", "a-1", strings.Repeat("x", MaxName)}
	bad := []string{"", "A", "a.b", "a b", "*", ">", "ä", "a/b", strings.Repeat("x", MaxName+1)}
	for _, s := range good {
		if !ValidName(s) {
			t.Errorf("ValidName(%q) = false", s)
		}
	}
	for _, s := range bad {
		if ValidName(s) {
			t.Errorf("ValidName(%q) = true", s)
		}
		if n := Name(s); s != "" && !ValidName(n) {
			t.Errorf("Name(%q) = %q, which is no valid name", s, n)
		}
	}
}

func TestCopiesAreNumberedOnlyWhenThereAreSeveral(t *testing.T) {
	if got := CopyNames("m", 1); len(got) != 1 || got[0] != "m" {
		t.Errorf("one copy: %v", got)
	}
	if got := strings.Join(CopyNames("m", 3), " "); got != "m-1 m-2 m-3" {
		t.Errorf("three copies: %v", got)
	}
}

func TestEveryCodeHasOneCompleteRow(t *testing.T) {
	seen := map[Code]bool{}
	for _, row := range Codes {
		if seen[row.Code] {
			t.Errorf("%s stands twice in the table", row.Code)
		}
		seen[row.Code] = true
		if row.Sentence == "" || row.Audience == 0 || row.Number < 200 || row.Number > 504 {
			t.Errorf("%s: incomplete row %+v", row.Code, row)
		}
	}
	if got := Code("NO_SUCH").Row().Code; got != Internal {
		t.Errorf("an unknown code counts as %s, want INTERNAL", got)
	}
}

func TestErrorCarriesItsNumbers(t *testing.T) {
	refusal := Errorf(DeadlineUnmeetable, "needs %d ms", 143)
	refusal.EarliestMS = 143
	body, err := json.Marshal(refusal)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"code":"DEADLINE_UNMEETABLE","message":"needs 143 ms","retryable":true,"earliest_ms":143}`
	if string(body) != want {
		t.Errorf("got  %s\nwant %s", body, want)
	}
}

func TestElementsRefusesOverflow(t *testing.T) {
	for _, c := range []struct {
		shape []int64
		want  int64
	}{
		{nil, 1}, {[]int64{2, 3}, 6}, {[]int64{0, 5}, 0}, {[]int64{-1}, -1},
		{[]int64{math.MaxInt64, 2}, -1}, {[]int64{1 << 32, 1 << 32}, -1},
	} {
		if got := Elements(c.shape); got != c.want {
			t.Errorf("Elements(%v) = %d, want %d", c.shape, got, c.want)
		}
	}
}

func TestInputsAreCheckedAgainstTheModel(t *testing.T) {
	specs := []TensorSpec{{"x", FP32, []int64{2, 2}}, {"mask", Uint8, []int64{3}}}
	x := Tensor{"x", FP32, []int64{2, 2, 2}, make([]byte, 32)}
	mask := Tensor{"mask", Uint8, []int64{2, 3}, make([]byte, 6)}
	with := func(f func(in []Tensor)) []Tensor {
		in := []Tensor{x, mask}
		f(in)
		return in
	}
	for _, c := range []struct {
		name  string
		in    []Tensor
		batch int
		says  string
	}{
		{"right, in any order", []Tensor{mask, x}, 2, ""},
		{"one missing", []Tensor{x}, 0, "expected 2 inputs, got 1"},
		{"other name", with(func(in []Tensor) { in[0].Name = "y" }), 0, `expected an input named "x"`},
		{"other type", with(func(in []Tensor) { in[0].Datatype = FP64 }), 0, `expected datatype FP32, got "FP64"`},
		{"no batch dimension", with(func(in []Tensor) { in[0].Shape = []int64{2, 2} }), 0, "expected shape [N,2,2], got [2,2]"},
		{"empty batch", with(func(in []Tensor) { in[0].Shape = []int64{0, 2, 2} }), 0, "expected shape [N,2,2]"},
		{"negative", with(func(in []Tensor) { in[0].Shape = []int64{-1, 2, 2} }), 0, "expected shape"},
		{"too few bytes", with(func(in []Tensor) { in[0].Data = in[0].Data[:31] }), 0, "got 31 bytes"},
		{"huge batch", with(func(in []Tensor) { in[0].Shape = []int64{math.MaxInt64, 2, 2} }), 0, "expected at most 4 items, got 9223372036854775807"},
		{"batch too large, data cut off", with(func(in []Tensor) { in[0].Shape = []int64{5, 2, 2} }), 0, "expected at most 4 items, got 5"},
		{"batches differ", with(func(in []Tensor) { in[1] = Tensor{"mask", Uint8, []int64{1, 3}, make([]byte, 3)} }), 0, "holds 1 items"},
	} {
		batch, refusal := (&ModelSpec{Inputs: specs, BatchSizes: []int{1, 4}}).BatchOf(c.in)
		if batch != c.batch || (refusal == nil) != (c.says == "") {
			t.Errorf("%s: batch %d, error %v", c.name, batch, refusal)
			continue
		}
		if refusal == nil {
			continue
		}
		want := InvalidInput
		if strings.Contains(c.says, "at most") {
			want = BatchTooLarge
		}
		if refusal.Code != want || !strings.Contains(refusal.Message, c.says) {
			t.Errorf("%s: %v, want %s and it to say %q", c.name, refusal, want, c.says)
		}
	}
}

func TestRawDataAreCutIntoTheInputs(t *testing.T) {
	m := ModelSpec{Inputs: []TensorSpec{{"x", Uint16, []int64{2}}, {"n", Uint8, nil}}, BatchSizes: []int{1, 4}, AnyBatch: true}
	data := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	inputs, refusal := m.Cut(data, 2)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if n, refusal := m.BatchOf(inputs); refusal != nil || n != 2 {
		t.Errorf("%d, %v", n, refusal)
	}
	if string(inputs[0].Data) != string(data[:8]) || string(inputs[1].Data) != string(data[8:]) || cap(inputs[0].Data) != 8 {
		t.Errorf("%+v", inputs)
	}
	for _, c := range []struct{ bytes, items int }{{9, 2}, {11, 2}, {0, 1}, {10, 1}} {
		if _, refusal := m.Cut(make([]byte, c.bytes), c.items); refusal == nil || refusal.Code != InvalidInput || !strings.Contains(refusal.Message, "x UINT16[2] (4 bytes), n UINT8[] (1 bytes)") {
			t.Errorf("%d bytes for %d items: %v", c.bytes, c.items, refusal)
		}
	}
}

func TestAModelWithoutABatchDimensionTakesOneItem(t *testing.T) {
	m := ModelSpec{Inputs: []TensorSpec{{"x", FP32, []int64{2, 2}}, {"rate", Int64, nil}}, BatchSizes: []int{1}, NoBatch: true}
	for _, c := range []struct {
		x, rate []int64
		says    string
	}{
		{[]int64{2, 2}, []int64{}, ""},
		{[]int64{2, 2}, nil, ""},
		{[]int64{1, 2, 2}, nil, `input "x": expected shape [2,2], got [1,2,2]`},
		{[]int64{2, 2}, []int64{1}, `input "rate": expected shape [], got [1]`},
		{[]int64{4}, nil, "expected shape [2,2], got [4]"},
	} {
		n, refusal := m.BatchOf([]Tensor{{"x", FP32, c.x, make([]byte, 16)}, {"rate", Int64, c.rate, make([]byte, 8)}})
		if c.says == "" && (refusal != nil || n != 1) || c.says != "" && (refusal == nil || !strings.Contains(refusal.Message, c.says)) {
			t.Errorf("%v and %v: %d, %v, want %q", c.x, c.rate, n, refusal, c.says)
		}
	}
	if got := m.Shape(m.Inputs[0], 1); !slices.Equal(got, []int64{2, 2}) {
		t.Error(got)
	}
	batched := m
	batched.NoBatch = false
	if got := m.Differs(&batched); got != "its tensors have no batch dimension, not a batch dimension" {
		t.Error(got)
	}
}

func TestModelFitsItemsIntoTheNextBatchSize(t *testing.T) {
	compiled := ModelSpec{BatchSizes: []int{1, 2, 4}}
	any := ModelSpec{BatchSizes: []int{1, 2, 4}, AnyBatch: true}
	for n, want := range map[int][2]int{0: {0, 0}, 1: {1, 1}, 3: {4, 3}, 4: {4, 4}, 5: {0, 0}, -1: {0, 0}} {
		if got := compiled.Fits(n); got != want[0] {
			t.Errorf("compiled sizes: Fits(%d) = %d, want %d", n, got, want[0])
		}
		if got := any.Fits(n); got != want[1] {
			t.Errorf("any size: Fits(%d) = %d, want %d", n, got, want[1])
		}
	}
}

func TestAbsurdMeasurementsAreNotValid(t *testing.T) {
	good := Measurement{Samples: 10, Min: 1, P50: 2, P99: 3, Max: 4}
	if !good.Valid() {
		t.Fatal("a good measurement is refused")
	}
	for name, spoil := range map[string]func(*Measurement){
		"no samples": func(m *Measurement) { m.Samples = 0 },
		"zero":       func(m *Measurement) { m.Min = 0 },
		"negative":   func(m *Measurement) { m.Min = -1 },
		"unordered":  func(m *Measurement) { m.P50 = 9 },
		"absurd":     func(m *Measurement) { m.Max = MaxMeasured + 1 },
	} {
		m := good
		spoil(&m)
		if m.Valid() {
			t.Errorf("%s: counts as valid", name)
		}
	}
}

func TestStagesAreNamedInJSON(t *testing.T) {
	for s := Querying; s <= Active; s++ {
		body, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back Stage
		if err := json.Unmarshal(body, &back); err != nil || back != s {
			t.Errorf("%s came back as %v, %v", body, back, err)
		}
	}
	var s Stage
	if json.Unmarshal([]byte(`"NOWHERE"`), &s) == nil {
		t.Error("an unknown stage is accepted")
	}
}

func TestSubjectsKeepTheirTokens(t *testing.T) {
	s := Subjects{Prefix: "stack.two"}
	if got := s.Token(s.Result("w1"), 1); got != "w1" {
		t.Errorf("worker of %s: %q", s.Result("w1"), got)
	}
	if got := s.Token(s.Heartbeat(Worker, "w1"), 2); got != "w1" {
		t.Errorf("instance of a heartbeat: %q", got)
	}
	for _, foreign := range []string{"stack.twofold.result.w1", "stack.two", "other"} {
		if got := s.Token(foreign, 1); got != "" {
			t.Errorf("Token(%q) = %q, want none", foreign, got)
		}
	}
	if got := s.Token(s.Load(), 1); got != "" {
		t.Errorf("a token past the end: %q", got)
	}
}

// TestNobodyIsAnsweredWhereHeMayNotSpeak: on no subject of the stack or the broker, and
// with roles in no inbox but that of the asker, whom the subject names, if he may ask.
func TestNobodyIsAnsweredWhereHeMayNotSpeak(t *testing.T) {
	open, roles := Subjects{Prefix: "site.a"}, Subjects{Prefix: "site.a", Roles: true}
	inboxes := map[string]string{}
	for user, inbox := range map[string]string{
		"client": InboxPrefix("client", ""), "alice": InboxPrefix("client", "alice"), "gateway": InboxPrefix("gateway", ""), "operator": InboxPrefix("operator", ""),
		"health": InboxPrefix("health", ""), "frontdoor": InboxPrefix("frontdoor", ""), "controller": InboxPrefix("controller", ""),
		"scheduler": InboxPrefix("scheduler", ""), "profiler": InboxPrefix("profiler", ""), "worker": InboxPrefix("worker", ""), "w1": InboxPrefix("worker", "w1"),
		"w2": InboxPrefix("worker", "w2"), "no role": "_INBOX", "not ours": "other",
	} {
		inboxes[user] = inbox + ".x.1"
	}
	inboxes["client with a name too many"], inboxes["no name"] = "_INBOX_client.clients.x", "_INBOX_client.x"
	may := map[string]string{ // the one user who asks so, "" for nobody
		open.Infer("m"): "client", open.InferBy("m", "alice"): "alice", open.InferBy("m", "gateway"): "", open.InferBy("m", "operator"): "operator",
		open.InferBy("m", "health"): "", open.Load(): "operator", open.Ls(): "client", By(open.Ls(), "alice"): "alice", By(open.Ls(), "operator"): "operator",
		open.State(): "client", By(open.State(), "health"): "health", By(open.State(), "worker"): "", open.Explain(Scheduler): "operator",
		open.Health(FrontDoor, "h"): "", open.Health(FrontDoor, "h") + ".controller.controller": "controller", open.Health(Worker, "h") + ".worker.w1": "w1",
		open.HealthBy(Worker, "h", inboxes["health"]): "health", open.Clock("w1"): "w1 worker", open.Clock("w2"): "w2 worker",
		open.SchedulerJoin(): "controller", "$SRV.PING": "operator", "$SRV.INFO.site_a.1": "operator",
		open.Result("w1"): "", "$KV.x": "", "other": "",
	}
	for asked, users := range may {
		for user, reply := range inboxes {
			if roles.Token(asked, 0) == "health" {
				if roles.MayAnswer(asked, reply) {
					t.Errorf("%s is answered in %s, where other answers come", asked, reply)
				}
				reply = HealthInbox(reply)
			}
			if want := slices.Contains(strings.Fields(users), user); roles.MayAnswer(asked, reply) != want {
				t.Errorf("%s, asked with the inbox of %s: answered should be %v", asked, user, want)
			}
		}
		for _, reply := range []string{"", "$KV.site_a_state.stage", "$JS.API.INFO", "$SYS.REQ.SERVER.PING", open.Action("w1"), open.Submit(1), open.Result("w1"),
			"_R_.x", "a b", "a.*", "a.>", ">", "a..b", ".a", "a.", "a\tb"} {
			if open.MayAnswer(asked, reply) || roles.MayAnswer(asked, reply) {
				t.Errorf("%s is answered on %q", asked, reply)
			}
		}
		if !strings.Contains(asked, ".infer.") && !open.MayAnswer(asked, inboxes["no role"]) {
			t.Errorf("%s is not answered on a broker without roles", asked)
		}
	}
}

// TestATenantStandsInTheSubject, where the broker lets nobody else publish.
func TestATenantStandsInTheSubject(t *testing.T) {
	s := Subjects{Prefix: "site.a"}
	for _, c := range []struct{ model, tenant, subject string }{
		{"resnet50", "", "site.a.infer.resnet50"},
		{"resnet50", "alice", "site.a.infer.resnet50.alice"},
		{">", "", "site.a.infer.>"},
		{"m", "a.b", "site.a.infer.m.a.b"}, // no name; the receiver says so
	} {
		if got := s.InferBy(c.model, c.tenant); got != c.subject {
			t.Errorf("InferBy(%q, %q) = %q, want %q", c.model, c.tenant, got, c.subject)
		}
		if model, tenant := s.Inferred(c.subject); model != c.model || tenant != c.tenant {
			t.Errorf("Inferred(%q) = %q, %q", c.subject, model, tenant)
		}
	}
	for subject, want := range map[string][2]string{
		s.LaneBy("resnet50", "alice"): {"resnet50", "alice"},
		"site.a.lane.3.m.a.b":         {"m", "a.b"},
		"site.a.lane.3":               {"", ""},
		"site.a.lane.":                {"", ""},
	} {
		if model, tenant := s.Inferred(subject); [2]string{model, tenant} != want || !s.InLane(subject) {
			t.Errorf("Inferred(%q) = %q, %q", subject, model, tenant)
		}
	}
	for _, subject := range []string{s.Infer("m"), s.InferBy("m", "alice"), s.State()} {
		if got, in := s.Asked(subject); got != subject || in {
			t.Errorf("Asked(%q) = %q", subject, got)
		}
	}
	if got, in := s.Asked(s.LaneBy("m", "alice")); got != s.InferBy("m", "alice") || !in {
		t.Errorf("what is asked in a lane is asked on %q", got)
	}
}

// TestAnInboxWithAnOwnerHearsWhatItsOwnerAskedAlone: else a client could have
// another one answered, and its requests counted as that one's.
func TestAnInboxWithAnOwnerHearsWhatItsOwnerAskedAlone(t *testing.T) {
	for _, c := range []struct {
		tenant, reply string
		want          bool
	}{
		{"", "_INBOX.abc.1", true},
		{"alice", "_INBOX.abc.1", true}, // on an open broker, on which nobody owns one
		{"alice", "_INBOX_client.alice.abc.1", true},
		{"alice", "_INBOX_gateway.alice.abc", true},
		{"alice", "_INBOX_client.bob.abc.1", false},
		{"alice", "_INBOX_client.client.abc.1", false},
		{"alice", "_INBOX_operator.operator.abc.1", false},
		{"", "_INBOX_client.client.abc.1", true},
		{"", "_INBOX_operator.operator.abc.1", true},
		{"", "_INBOX_client.alice.abc.1", false},
		{"client", "_INBOX_client.client.abc.1", false},
		{"", "_INBOX_client.alice", true}, // nobody is answered there: an inbox has three tokens
		{"", "answers.alice", true},
	} {
		if got := MayReplyTo(c.tenant, c.reply); got != c.want {
			t.Errorf("%q asks to be answered on %s: %v", c.tenant, c.reply, got)
		}
	}
}

func TestAModelIsNotCalledByItsVersion(t *testing.T) {
	for path, want := range map[string]string{
		"m": "m", "m/2": "m", "m/2/": "m", "group/m/12": "m", "zoo/resnet50_v2": "resnet50_v2", "7": "7", "/7": "7",
		"m/02": "02", "m/0": "0", "m/v2": "v2", "My Model/3": "my-model", "./m/1": "m",
	} {
		if got := NameOfPath(path); got != want {
			t.Errorf("%s is called %q, want %q", path, got, want)
		}
	}
}

func TestTheShapeOfAScalarIsEmptyInJSON(t *testing.T) {
	body, err := json.Marshal(LoadReply{Inputs: []TensorSpec{{Name: "x", Datatype: FP32}}})
	if err != nil || !strings.Contains(string(body), `"shape":[]`) {
		t.Errorf("%s, %v", body, err)
	}
}
