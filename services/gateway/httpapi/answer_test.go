package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
)

// TestEveryCodeHasItsStatus walks the table of codes: what HTTP says of each, and whether it
// is worth another try.
func TestEveryCodeHasItsStatus(t *testing.T) {
	for _, row := range protocol.Codes {
		w := &recorder{header: http.Header{}}
		c := &call{Server: &Server{config: DefaultConfig()}, w: w}
		if row.Code == protocol.OK {
			continue
		}
		c.refuse(protocol.Refusal(row.Code))
		if w.status != row.Number || w.status < 400 || (w.header.Get("Retry-After") != "") != row.Retryable || !strings.Contains(string(w.body), `"code":"`+string(row.Code)+`"`) {
			t.Errorf("%s: %d %v %s", row.Code, w.status, w.header, w.body)
		}
	}
	if why := (&protocol.Error{RetryMS: 2100}); retryAfter(why) != "3" {
		t.Errorf("2.1 s are %s s", retryAfter(why))
	}
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

func (w *recorder) Header() http.Header         { return w.header }
func (w *recorder) WriteHeader(code int)        { w.status = code }
func (w *recorder) Write(b []byte) (int, error) { w.body = append(w.body, b...); return len(b), nil }
