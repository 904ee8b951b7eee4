package gateway

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"clockwork/pkg/testkit/bustest"
	"clockwork/services/gateway/page"
)

func TestThePageIsServedUnderAStrictPolicy(t *testing.T) {
	s := serving(t, nil)
	a := s.do(http.MethodGet, "/", nil)
	if a.status != http.StatusOK || a.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(string(a.body), "page/script.js") {
		t.Fatalf("%d %v %.200s", a.status, a.header, a.body)
	}
	for name, want := range page.Files {
		path := "/page/" + name
		if name == "index.html" {
			path = "/"
		}
		a := s.do(http.MethodGet, path, nil)
		policy := a.header.Get("Content-Security-Policy")
		if a.status != http.StatusOK || string(a.body) != string(want.Body) || a.header.Get("Content-Type") != want.Type || want.Type == "" || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
		if !strings.HasPrefix(policy, "default-src 'none'; script-src 'self'; style-src 'self';") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: the policy is %q", path, policy)
		}
		if strings.Contains(string(want.Body), "innerHTML") || strings.Contains(string(want.Body), "//cdn") || strings.Contains(string(want.Body), "insertAdjacentHTML") {
			t.Errorf("%s writes markup, or takes something from elsewhere", name)
		}
	}
	for path, status := range map[string]int{"/page/none.js": 404, "/page/": 404, "/page/../page/data.go": 404, "/page/data.go": 404} {
		if a := s.do(http.MethodGet, path, nil); a.status != status {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	if a := s.do(http.MethodPost, "/", nil); a.status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d", a.status)
	}
}

func TestThePageFindsModelsAndBoundsTheirList(t *testing.T) {
	s := newStack(t, nil)
	for i := range 200 {
		if err := s.writer.PutModel(t.Context(), bustest.Spec(fmt.Sprintf("many-%03d", i), "zoo/a")); err != nil {
			t.Fatal(err)
		}
	}
	s.activate()
	find := func(query string) (list page.Models) {
		status, body := s.get("/page/models?find=" + query)
		if err := json.Unmarshal([]byte(body), &list); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %.200s", query, status, body)
		}
		return list
	}
	bustest.Until(t, "all models are known", func() bool { return find("").Total == 203 })
	if all := find(""); all.Found != 203 || len(all.Models) != 60 || all.Models[0].Name != "a" || all.Models[2].Name != "many-000" {
		t.Errorf("%d found, %d listed, first %+v", all.Found, len(all.Models), all.Models[0])
	}
	if some := find("NY-19"); some.Found != 10 || some.Models[9].Name != "many-199" || some.Models[0].Inputs[0].Name != "x" {
		t.Errorf("%+v", some)
	}
	if none := find("%3Cscript%3E"); none.Found != 0 || none.Total != 203 || none.Models == nil {
		t.Errorf("%+v", none)
	}
}

func TestThePageShowsTheLastSeconds(t *testing.T) {
	s := serving(t, nil)
	live := func() (l page.Live) {
		_, body := s.get("/page/live")
		if err := json.Unmarshal([]byte(body), &l); err != nil {
			t.Fatalf("%v: %s", err, body)
		}
		return l
	}
	s.infer("a", []byte(jsonInfer)) // nobody watches yet
	if l := live(); !l.Ready || l.Stage != "ACTIVE" || l.Models != 3 || l.GPUs != 1 || l.Served != 0 || l.Version != "v0" {
		t.Errorf("%+v", l)
	}
	for range 3 {
		s.infer("a", []byte(jsonInfer))
	}
	s.infer("a", []byte(`{"inputs":[{"name":"y","shape":[1,2],"datatype":"FP32","data":[1,2]}]}`))
	bustest.Until(t, "the answers are counted", func() bool { l := live(); return l.Served == 3 && l.Wrong == 1 })
	if l := live(); l.P50US <= 0 || l.P99US < l.P50US || len(l.Busiest) != 1 || l.Busiest[0].Model != "a" {
		t.Errorf("%+v", l)
	}
	before := newStack(t, nil)
	if _, body := before.get("/page/live"); !strings.Contains(body, `"ready":false,"why":"`) {
		t.Error(body)
	}
}

// A page of another origin can have a browser send simple requests here, and one whose name
// it points to this machine would be of this origin.
func TestPagesFromElsewhereCannotUseAGateway(t *testing.T) {
	s := serving(t, nil)
	host := strings.TrimPrefix(s.url, "http://")
	infer := "POST /v2/models/a/infer HTTP/1.1\r\nContent-Length: " + fmt.Sprint(len(jsonInfer)) + "\r\n"
	for _, c := range []struct {
		name, head string
		status     int
		says       string
	}{
		{"a client that is no browser", infer + "Host: " + host, 200, "outputs"},
		{"our own page", infer + "Host: " + host + "\r\nOrigin: http://" + host + "\r\nSec-Fetch-Site: same-origin", 200, "outputs"},
		{"our own page, in a browser without fetch metadata", infer + "Host: " + host + "\r\nOrigin: http://" + host, 200, "outputs"},
		{"by another name of this machine", infer + "Host: localhost:1\r\nOrigin: http://localhost:1", 200, "outputs"},
		{"a form of another page", infer + "Host: " + host + "\r\nContent-Type: text/plain\r\nOrigin: https://evil.example\r\nSec-Fetch-Site: cross-site", 403, "another origin"},
		{"a form of another page, without fetch metadata", infer + "Host: " + host + "\r\nContent-Type: text/plain\r\nOrigin: https://evil.example", 403, "another origin"},
		{"another port of this machine", infer + "Host: " + host + "\r\nOrigin: http://127.0.0.1:1\r\nSec-Fetch-Site: same-site", 403, "another origin"},
		{"a page without an origin", infer + "Host: " + host + "\r\nOrigin: null", 403, "another origin"},
		{"a name that was pointed here", infer + "Host: evil.example:8000\r\nOrigin: http://evil.example:8000\r\nSec-Fetch-Site: same-origin", 421, "evil.example"},
		{"a name that was pointed here, reading", "GET /page/models HTTP/1.1\r\nHost: evil.example", 421, "localhost"},
		{"a name that ends like ours", "GET /v2 HTTP/1.1\r\nHost: notlocalhost", 421, "notlocalhost"},
		{"an address of 6", "GET /v2 HTTP/1.1\r\nHost: [::1]:8000", 200, "clockwork"},
		{"localhost in capitals", "GET /v2 HTTP/1.1\r\nHost: LocalHost.", 200, "clockwork"},
	} {
		conn := dial(t, s)
		conn.say("%s\r\nConnection: close\r\n\r\n", c.head)
		if strings.HasPrefix(c.head, "POST") {
			conn.say("%s", jsonInfer)
		}
		all, _ := io.ReadAll(conn.in)
		if !strings.HasPrefix(string(all), fmt.Sprint("HTTP/1.1 ", c.status)) || !strings.Contains(string(all), c.says) {
			t.Errorf("%s: %s", c.name, all)
		}
		if strings.Contains(string(all), "Access-Control-Allow") {
			t.Errorf("%s: other origins may read: %s", c.name, all)
		}
	}
	if a := s.do(http.MethodOptions, "/v2/models/a/infer", nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"); a.status != http.StatusMethodNotAllowed {
		t.Errorf("a preflight is answered with %d %v", a.status, a.header)
	}
}
