package gateway

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"clockwork/pkg/testkit/bustest"
	"clockwork/services/gateway/grpcapi/oippb"
	"clockwork/services/gateway/oip"
)

// TestStatisticsOverBoth: what either ingress served and refused is counted once, and both
// tell the same.
func TestStatisticsOverBoth(t *testing.T) {
	s := serving(t, nil)
	for range 3 {
		if a := s.infer("a", []byte(jsonInfer)); a.status != http.StatusOK {
			t.Fatalf("%d %s", a.status, a.body)
		}
		if _, err := s.inferOver(t.Context(), rawInfer("")); err != nil {
			t.Fatal(err)
		}
	}
	s.infer("a", []byte(strings.Replace(jsonInfer, `"x"`, `"z"`, 1)))
	s.infer("nobody", []byte(jsonInfer))
	var both struct {
		Stats []oip.ModelStatistics `json:"model_stats"`
	}
	bustest.Until(t, "all are counted", func() bool {
		_, body := s.get("/v2/models/a/stats")
		if err := json.Unmarshal([]byte(body), &both); err != nil || len(both.Stats) != 1 {
			t.Fatalf("%v: %s", err, body)
		}
		return both.Stats[0].Stats.Success.Count == 6 && both.Stats[0].Stats.Fail.Count == 1
	})
	m := both.Stats[0]
	if m.Name != "a" || m.Version != "1" || m.Inferences != 6 || m.Executions != 6 || m.Last == 0 || m.Stats.Success.NS == 0 || m.Stats.Queue.Count != 6 ||
		m.Stats.Infer.Count != 6 || len(m.Batches) != 1 || m.Batches[0].Size != 1 || m.Batches[0].Infer.Count != 6 {
		t.Errorf("%+v", m)
	}
	var over oippb.ModelStatisticsResponse
	if err := s.call("ModelStatistics", &oippb.ModelStatisticsRequest{Name: "a"}, &over); err != nil || len(over.ModelStats) != 1 {
		t.Fatalf("%v, %v", &over, err)
	}
	g := over.ModelStats[0]
	if i := g.InferenceStats; g.InferenceCount != m.Inferences || g.ExecutionCount != m.Executions || i.Success.Ns != m.Stats.Success.NS || i.Fail.Count != 1 ||
		i.Queue == nil || i.ComputeInput == nil || i.ComputeInfer == nil || i.ComputeOutput == nil || i.CacheHit == nil || i.CacheMiss == nil || len(g.BatchStats) != 1 {
		t.Errorf("over gRPC: %v", g)
	}
	_, body := s.get("/v2/models/stats")
	for _, key := range []string{"success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"} {
		if !strings.Contains(body, `"`+key+`":{"count":`) {
			t.Errorf("%s is missing: %s", key, body)
		}
	}
	if strings.Contains(body, "nobody") || strings.Count(body, `"name":`) != 1 {
		t.Errorf("of all models: %s", body)
	}
	if _, body := s.get("/v2/models/big/versions/3/stats"); !strings.Contains(body, `"inference_count":0`) {
		t.Errorf("of one that nobody asked for: %s", body)
	}
}
