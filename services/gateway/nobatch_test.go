package gateway

import (
	"net/http"
	"strings"
	"testing"

	"clockwork/pkg/testkit/bustest"
)

// A model without a batch dimension is described and called as Triton describes and calls one
// with max_batch_size 0.
func TestAModelWithoutABatchDimension(t *testing.T) {
	s := newStack(t, nil)
	plain := bustest.Spec("plain", "plain")
	plain.NoBatch, plain.AnyBatch, plain.BatchSizes = true, false, []int{1}
	if err := s.writer.PutModel(t.Context(), plain); err != nil {
		t.Fatal(err)
	}
	s.activate()
	for path, want := range map[string]string{
		"/v2/models/plain":        `"inputs":[{"name":"x","datatype":"FP32","shape":[2]}],"outputs":[{"name":"y","datatype":"FP32","shape":[2]}]}`,
		"/v2/models/plain/config": `"max_batch_size":0,"input":[{"name":"x","data_type":"TYPE_FP32","dims":[2]}],"output":[{"name":"y","data_type":"TYPE_FP32","dims":[2]}]}`,
	} {
		if status, body := s.get(path); status != http.StatusOK || !strings.HasSuffix(body, want) {
			t.Errorf("%s: %d %s\nwant %s", path, status, body, want)
		}
	}
	a := s.infer("plain", []byte(`{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2.5]}]}`))
	if want := `"outputs":[{"name":"y","shape":[2],"datatype":"FP32","data":[1,2.5]}]`; a.status != http.StatusOK || !strings.Contains(string(a.body), want) {
		t.Errorf("%d %s\nwant %s", a.status, a.body, want)
	}
	a = s.infer("plain", []byte(`{"inputs":[{"name":"x","shape":[1,2],"datatype":"FP32","data":[1,2.5]}]}`))
	if a.status != http.StatusBadRequest || !strings.Contains(string(a.body), "expected shape [2], got [1,2]") {
		t.Errorf("%d %s", a.status, a.body)
	}
	a = s.infer("plain", raw, "Inference-Header-Content-Length", "0")
	if a.status != http.StatusOK || !strings.Contains(string(a.body), `"shape":[2]`) {
		t.Errorf("raw: %d %s", a.status, a.body)
	}
}
