package gateway

import (
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"clockwork/pkg/testkit/bustest"
	"clockwork/services/gateway/grpcapi/oippb"
)

// TestTheRepositoryOverBoth: the models are listed; one that is loaded may be loaded, and any
// other change has the stack's refusal.
func TestTheRepositoryOverBoth(t *testing.T) {
	s := newStack(t, nil)
	post := func(path, body string) (int, string) {
		a := s.do(http.MethodPost, "/v2/repository/"+path, strings.NewReader(body))
		return a.status, string(a.body)
	}
	bustest.Until(t, "the models are listed", func() bool {
		_, body := post("index", "")
		return strings.Contains(body, `{"name":"big","version":"3","state":"UNAVAILABLE","reason":"the stage is `)
	})
	if _, body := post("index", `{"ready":true}`); body != "[]" {
		t.Errorf("of those that are served: %s", body)
	}
	if code, body := post("models/nobody/load", ""); code != http.StatusForbidden || !strings.Contains(body, "clockwork load") {
		t.Errorf("before loading has ended: %d %s", code, body)
	}
	s.activate()
	if code, body := post("index", `{"ready":true}`); code != http.StatusOK || !strings.HasPrefix(body, `[{"name":"a","version":"1","state":"READY","reason":""},`) || strings.Count(body, "READY") != 3 {
		t.Errorf("%d %s", code, body)
	}
	for path, want := range map[string]int{"models/a/load": 200, "models/nobody/load": 400, "models/a/unload": 400, "models/nobody/unload": 404} {
		if code, body := post(path, "{}"); code != want || want == 400 && !strings.Contains(body, "LOADING_CLOSED") {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	if code, body := post("index", "ready"); code != http.StatusBadRequest {
		t.Errorf("no JSON: %d %s", code, body)
	}
	var index oippb.RepositoryIndexResponse
	if err := s.call("RepositoryIndex", &oippb.RepositoryIndexRequest{Ready: true}, &index); err != nil || len(index.Models) != 3 || index.Models[1].Name != "big" || index.Models[1].State != "READY" {
		t.Errorf("over gRPC: %v, %v", &index, err)
	}
	for model, want := range map[string]codes.Code{"a": codes.OK, "nobody": codes.FailedPrecondition} {
		if err := s.call("RepositoryModelLoad", &oippb.RepositoryModelLoadRequest{ModelName: model}, &oippb.RepositoryModelLoadResponse{}); status.Code(err) != want {
			t.Errorf("load %s over gRPC: %v", model, err)
		}
	}
	for model, want := range map[string]codes.Code{"a": codes.FailedPrecondition, "nobody": codes.NotFound} {
		if err := s.call("RepositoryModelUnload", &oippb.RepositoryModelUnloadRequest{ModelName: model}, &oippb.RepositoryModelUnloadResponse{}); status.Code(err) != want {
			t.Errorf("unload %s over gRPC: %v", model, err)
		}
	}
}
