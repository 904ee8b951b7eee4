package gateway

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/wire"
)

const jsonInfer = `{"id":"r1","inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2.5]}]}`

// raw is its payload.
var raw = []byte{0, 0, 0x80, 0x3f, 0, 0, 0x20, 0x40}

// binaryInfer is a request with binary data both ways, and the size of its JSON.
func binaryInfer(t testing.TB) (body []byte, size string) {
	t.Helper()
	head := `{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","parameters":{"binary_data_size":8}}]}`
	return append([]byte(head), raw...), strconv.Itoa(len(head))
}

func zipped(t testing.TB, body []byte, with func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var out bytes.Buffer
	w := with(&out)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func toGzip(w io.Writer) io.WriteCloser    { return gzip.NewWriter(w) }
func toDeflate(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }

// unzipped is the body of an answer.
func unzipped(t testing.TB, a answer) []byte {
	t.Helper()
	var from io.Reader
	var err error
	switch a.header.Get("Content-Encoding") {
	case "gzip":
		from, err = gzip.NewReader(bytes.NewReader(a.body))
	case "deflate":
		from, err = zlib.NewReader(bytes.NewReader(a.body))
	default:
		return a.body
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestJSONInAndOut(t *testing.T) {
	s := serving(t, nil)
	a := s.infer("a", []byte(jsonInfer))
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" || a.header.Get(wire.HeaderLength) != "" {
		t.Fatalf("%d %v %s", a.status, a.header, a.body)
	}
	r, fault := wire.DecodeResponse(a.body)
	if fault != nil || r.ID != "r1" || r.ModelName != "a" || r.ModelVersion != "1" || r.Parameters.Worker != "w1" || r.Parameters.LatencyUS <= 0 ||
		len(r.Outputs) != 1 || !bytes.Equal(r.Outputs[0].Data, raw) {
		t.Errorf("%+v, %v", r, fault)
	}
	nested := strings.Replace(jsonInfer, "[1,2.5]", "[[1,2.5]]", 1)
	if a := s.infer("a/versions/1", []byte(nested)); a.status != http.StatusOK {
		t.Errorf("nested: %d %s", a.status, a.body)
	}
	if a := s.infer("a", []byte(`{"inputs":[]}`)); a.status != http.StatusOK {
		t.Errorf("generated: %d %s", a.status, a.body)
	}
	two := `{"outputs":[{"name":"m"}],"inputs":[{"name":"n","shape":[1],"datatype":"UINT8","data":[7]},{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2.5]}]}`
	if a := s.infer("pair", []byte(two)); a.status != http.StatusOK || !strings.Contains(string(a.body), `"outputs":[{"name":"m","shape":[1],"datatype":"UINT8","data":[7]}]`) {
		t.Errorf("two inputs, one output: %d %s", a.status, a.body)
	}
}

func TestBinaryInAndOut(t *testing.T) {
	s := serving(t, nil)
	body, size := binaryInfer(t)
	for name, a := range map[string]answer{
		"as it is": s.infer("a", body, wire.HeaderLength, size),
		"gzip":     s.infer("a", zipped(t, body, toGzip), wire.HeaderLength, size, "Content-Encoding", "gzip"),
		"deflate":  s.infer("a", zipped(t, body, toDeflate), wire.HeaderLength, size, "Content-Encoding", "deflate"),
		"raw":      s.infer("a", raw, wire.HeaderLength, "0"),
		"chunked":  s.do(http.MethodPost, "/v2/models/a/infer", io.MultiReader(bytes.NewReader(body)), wire.HeaderLength, size),
	} {
		head, err := strconv.Atoi(a.header.Get(wire.HeaderLength))
		if a.status != http.StatusOK || err != nil || head > len(a.body) || a.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %d %v %s", name, a.status, a.header, a.body)
			continue
		}
		if !bytes.Equal(a.body[head:], raw) || !strings.Contains(string(a.body[:head]), `"parameters":{"binary_data_size":8}`) {
			t.Errorf("%s: %q", name, a.body)
		}
	}
}

func TestAnswersAreCompressedWhereThatIsAskedFor(t *testing.T) {
	s := serving(t, nil)
	head := `{"parameters":{"binary_data_output":true},"inputs":[{"name":"x","shape":[1,100000],"datatype":"UINT8","parameters":{"binary_data_size":100000}}]}`
	body := append([]byte(head), make([]byte, 100_000)...)
	for accept, want := range map[string]string{"": "", "gzip": "gzip", "deflate": "deflate", "br, gzip;q=0, deflate": "deflate", "br": "", "identity": "", "gzip;q=0": ""} {
		a := s.infer("big", body, wire.HeaderLength, strconv.Itoa(len(head)), "Accept-Encoding", accept)
		if got := a.header.Get("Content-Encoding"); a.status != http.StatusOK || got != want || want != "" && len(a.body) > 10_000 {
			t.Errorf("%q: %d, %q, %d bytes", accept, a.status, got, len(a.body))
			continue
		}
		at, _ := strconv.Atoi(a.header.Get(wire.HeaderLength))
		if whole := unzipped(t, a); len(whole) != at+100_000 {
			t.Errorf("%q: %d bytes behind a head of %d", accept, len(whole), at)
		}
	}
	if a := s.infer("a", []byte(jsonInfer), "Accept-Encoding", "gzip"); a.header.Get("Content-Encoding") != "" {
		t.Error("a small answer is compressed")
	}
}

// TestRefusalsInTermsOfHTTP: status, code and text of whatever a client may do wrong. After
// each the gateway serves as before.
func TestRefusalsInTermsOfHTTP(t *testing.T) {
	s := serving(t, func(c *Config) { c.DefaultSLO = protocol.MaxSLO })
	body, size := binaryInfer(t)
	head := func(n string) []string { return []string{wire.HeaderLength, n} }
	with := func(text string) []byte { return []byte(strings.Replace(jsonInfer, `"id"`, text+`,"id"`, 1)) }
	wide := bytes.Repeat([]byte{' '}, 1<<20)
	bomb := zipped(t, bytes.Repeat(wide, 9), toGzip)
	for _, c := range []struct {
		what    string
		model   string
		body    []byte
		headers []string
		status  int
		code    protocol.Code
		says    string
	}{
		{"unknown model", "nobody", []byte(jsonInfer), nil, 404, protocol.UnknownModel, "nobody"},
		{"a name that is none", "ResNet", []byte(jsonInfer), nil, 404, protocol.UnknownModel, "a-z"},
		{"an escaped name", "a%2Fb", []byte(jsonInfer), nil, 404, protocol.UnknownModel, `"a/b"`},
		{"another version", "big/versions/2", []byte(`{}`), nil, 404, protocol.UnknownModel, "version 3"},
		{"no body", "a", nil, nil, 400, protocol.BadMessage, "empty"},
		{"no JSON", "a", []byte("x=1"), nil, 400, protocol.BadMessage, "JSON"},
		{"msgpack", "a", []byte{0x80}, nil, 400, protocol.BadMessage, "JSON"},
		{"wrong name", "a", []byte(strings.Replace(jsonInfer, `"x"`, `"z"`, 1)), nil, 400, protocol.InvalidInput, `"x"`},
		{"wrong shape", "a", []byte(strings.Replace(jsonInfer, "[1,2]", "[1,3]", 1)), nil, 400, protocol.InvalidInput, "shape"},
		{"wrong type", "a", []byte(strings.Replace(jsonInfer, "FP32", "INT8", 1)), nil, 400, protocol.InvalidInput, "INT8"},
		{"too many items", "a", []byte(`{"inputs":[{"name":"x","shape":[5,2],"datatype":"FP32","data":[1,2,3,4,5,6,7,8,9,10]}]}`), nil, 413, protocol.BatchTooLarge, "at most 4"},
		{"output that is none", "a", with(`"outputs":[{"name":"q"}]`), nil, 400, protocol.InvalidInput, `"q"`},
		{"no time", "a", with(`"parameters":{"timeout":-5}`), nil, 400, protocol.InvalidDeadline, ""},
		{"no time in the header", "a", []byte(jsonInfer), []string{protocol.TimeoutHeader, "soon"}, 400, protocol.InvalidDeadline, "soon"},
		{"encoding", "a", []byte(jsonInfer), []string{"Content-Encoding", "br"}, 400, protocol.BadMessage, "gzip"},
		{"two encodings", "a", []byte(jsonInfer), []string{"Content-Encoding", "gzip, gzip"}, 400, protocol.BadMessage, "gzip"},
		{"no gzip", "a", []byte(jsonInfer), []string{"Content-Encoding", "gzip"}, 400, protocol.BadMessage, "gzip"},
		{"gzip cut off", "a", zipped(t, []byte(jsonInfer), toGzip)[:20], []string{"Content-Encoding", "gzip"}, 400, protocol.BadMessage, ""},
		{"gzip bomb", "a", bomb, []string{"Content-Encoding", "gzip"}, 413, protocol.PayloadTooLarge, "more than"},
		{"deflate, and more", "a", append(zipped(t, []byte(jsonInfer), toDeflate), 1), []string{"Content-Encoding", "deflate"}, 400, protocol.BadMessage, "follow"},
		{"header one too small", "a", body, head(fmt.Sprint(mustAtoi(t, size) - 1)), 400, protocol.BadMessage, ""},
		{"header one too large", "a", body, head(fmt.Sprint(mustAtoi(t, size) + 1)), 400, protocol.BadMessage, ""},
		{"header of the body", "a", body, head(fmt.Sprint(len(body))), 400, protocol.BadMessage, ""},
		{"header beyond the body", "a", body, head(fmt.Sprint(len(body) + 1)), 400, protocol.BadMessage, wire.HeaderLength},
		{"header negative", "a", body, head("-1"), 400, protocol.BadMessage, wire.HeaderLength},
		{"header of 2^63", "a", body, head("9223372036854775808"), 400, protocol.BadMessage, wire.HeaderLength},
		{"header twice", "a", body, append(head(size), head(size)...), 400, protocol.BadMessage, wire.HeaderLength},
		{"header missing", "a", body, nil, 400, protocol.BadMessage, ""},
		{"header 0, and JSON", "a", []byte(jsonInfer), head("0"), 400, protocol.InvalidInput, "bytes"},
		{"header 0, one of two inputs", "pair", raw, head("0"), 400, protocol.InvalidInput, "x FP32[2] (8 bytes), n UINT8[] (1 bytes), one after the other: 9 bytes in all, got 8"},
		{"header 0, a byte too few", "a", raw[:7], head("0"), 400, protocol.InvalidInput, "8 bytes in all, got 7"},
		{"a binary tensor a byte short", "a", body[:len(body)-1], head(size), 400, protocol.BadMessage, "7 bytes"},
		{"a binary tensor and a byte", "a", append(bytes.Clone(body), 0), head(size), 400, protocol.BadMessage, "follow"},
		{"deep JSON", "a", []byte(`{"inputs":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`), nil, 400, protocol.BadMessage, "nested"},
		{"wide JSON", "a", []byte(`{"inputs":[` + strings.Repeat("{},", 70_000) + `{}]}`), nil, 400, protocol.BadMessage, "elements"},
		{"too large", "a", bytes.Repeat(wide, 9), nil, 413, protocol.PayloadTooLarge, ""},
	} {
		a := s.infer(c.model, c.body, c.headers...)
		text, _ := a.field("error").(string)
		if a.status != c.status || a.field("code") != string(c.code) || !strings.HasPrefix(text, string(c.code)+": ") || !strings.Contains(text, c.says) {
			t.Errorf("%s: %d %s, want %d %s with %q", c.what, a.status, a.body, c.status, c.code, c.says)
		}
		if len(a.body) > 2000 {
			t.Errorf("%s: an error of %d bytes", c.what, len(a.body))
		}
	}
	if a := s.infer("a", body, wire.HeaderLength, size); a.status != http.StatusOK {
		t.Errorf("then: %d %s", a.status, a.body)
	}
}

func mustAtoi(t testing.TB, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWhatNeedsNoBodyIsRefusedBeforeIt: the client waits with its body until it is asked for.
func TestWhatNeedsNoBodyIsRefusedBeforeIt(t *testing.T) {
	s := serving(t, nil)
	for path, status := range map[string]string{"nobody": "404", "a": "413"} {
		c := dial(t, s)
		c.say("POST /v2/models/%s/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\nExpect: 100-continue\r\n\r\n", path)
		if line := c.line(); !strings.HasPrefix(line, "HTTP/1.1 "+status) {
			t.Errorf("%s: %q, want %s", path, line, status)
		}
	}
}

func TestBeforeActivationRequestsAreRefused(t *testing.T) {
	s := newStack(t, nil)
	bustest.Until(t, "the front door is open", func() bool { return s.infer("a", []byte(jsonInfer)).field("code") == string(protocol.NotActive) })
	a := s.infer("a", []byte(jsonInfer))
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") != "1" || a.field("stage") != "QUERYING" || a.field("retryable") != true {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
	if status, body := s.get("/v2/health/ready"); status != http.StatusServiceUnavailable || !strings.HasPrefix(body, `{"live":true,"ready":false,"why":"the stage is `) {
		t.Errorf("%d %s", status, body)
	}
	s.activate()
	if a := s.infer("a", []byte(jsonInfer)); a.status != http.StatusOK {
		t.Errorf("then: %d %s", a.status, a.body)
	}
}

// TestAScheduersRefusal: its numbers stand beside the text.
func TestASchedulersRefusal(t *testing.T) {
	s := serving(t, nil)
	s.silent.Store(true)
	s.on(s.bus.Subjects.Submissions(), s.refuseAll)
	a := s.infer("a", []byte(jsonInfer))
	if a.status != http.StatusServiceUnavailable || a.field("earliest_ms") != 12.5 || a.field("budget_ms") != 10.0 || a.header.Get("Retry-After") != "1" {
		t.Errorf("%d %v %s", a.status, a.header, a.body)
	}
}

// TestALateAnswerIs504: the smallest budget counts.
func TestALateAnswerIs504(t *testing.T) {
	s := serving(t, nil)
	s.silent.Store(true)
	for name, a := range map[string]answer{
		"timeout": s.infer("a", []byte(strings.Replace(jsonInfer, `"id"`, `"parameters":{"timeout":5000,"slo_ms":20000},"id"`, 1))),
		"slo_ms":  s.infer("a", []byte(strings.Replace(jsonInfer, `"id"`, `"parameters":{"timeout":20000000,"slo_ms":5},"id"`, 1)), protocol.TimeoutHeader, "20s"),
		"header":  s.infer("a", []byte(strings.Replace(jsonInfer, `"id"`, `"parameters":{"slo_ms":20000},"id"`, 1)), protocol.TimeoutHeader, "5ms"),
	} {
		if a.status != http.StatusGatewayTimeout || a.field("code") != string(protocol.DeadlineExceeded) || a.field("budget_ms") != 5.0 {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}

// TestWhoGoesAwayIsNotWaitedFor: what no worker was given is withdrawn from the scheduler, and
// counted.
func TestWhoGoesAwayIsNotWaitedFor(t *testing.T) {
	s := serving(t, nil)
	s.silent.Store(true)
	outcomes := make(chan protocol.Code, 10)
	s.heard(outcomes)
	c := dial(t, s)
	c.say("POST /v2/models/a/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(jsonInfer), jsonInfer)
	bustest.Until(t, "it is submitted", func() bool { return s.submitted.Load() == 1 })
	_ = c.Close()
	if code := bustest.Next(t, "the end of the request", outcomes); code != protocol.Cancelled {
		t.Errorf("it ended with %s", code)
	}
}
