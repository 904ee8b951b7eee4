package httpapi

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"clockwork/services/gateway/oip"
)

// FuzzRoutes: whatever the method and the path, the answer is an object, and what is not there
// is said in the client's terms. The server has no front door.
func FuzzRoutes(f *testing.F) {
	for _, path := range []string{"/", "/v2", "/v2/", "//v2", "/v2/health/live", "/v2/health/ready", "/v2/models/a", "/v2/models/a/versions/1/infer", "/v2/models/%2F/infer",
		"/v2/models/%zz/ready", "/v2/models/../a", "/page/script.js", "/page/none.js", "/page/models", "/page/live", "/v2/repository/index", "/v2/models/a/stats", "*"} {
		f.Add(http.MethodGet, path, "1")
		f.Add(http.MethodPost, path, "-1")
	}
	s := NewServer(DefaultConfig(), oip.NewServer(oip.Config{}), slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, method, path, header string) {
		to := httptest.NewRecorder()
		r := &http.Request{Method: method, URL: &url.URL{Path: path}, Header: http.Header{"Inference-Header-Content-Length": {header}}, Body: io.NopCloser(strings.NewReader(header)), ContentLength: -1}
		s.ServeHTTP(to, r.WithContext(t.Context()))
		if to.Code == http.StatusOK && to.Header().Get("Content-Security-Policy") != "" {
			return // a file of the page
		}
		var object map[string]any
		if err := json.Unmarshal(to.Body.Bytes(), &object); err != nil || to.Body.Len() > 2000 {
			t.Errorf("%q %q: %d, %v, %q", method, path, to.Code, err, to.Body)
		}
		if !slices.Contains([]int{200, 404, 405, 501, 503}, to.Code) || to.Code != http.StatusOK && object["code"] == nil && object["ready"] == nil {
			t.Errorf("%q %q: %d %s", method, path, to.Code, to.Body)
		}
	})
}
