package integration

import (
	"bytes"
	"context"
	"flag"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var clientsIn = flag.String("clients", "", "run the clients of integration/clients, which are installed in this virtual environment (make clients)")

// clients are run against a gateway, and all services behind it.
type clients struct {
	t                 *testing.T
	http, grpc, model string
}

// TestTheClientsThatPeopleHave runs the clients of Triton and KServe from their packages,
// Triton's load generator, curl and grpcurl.
func TestTheClientsThatPeopleHave(t *testing.T) {
	if *clientsIn == "" {
		t.Skip("needs Python packages; make clients installs and runs them")
	}
	s := startStack(t, quick())
	url, grpc, _ := s.startIngresses()
	s.load("zoo/resnet18_v2", 1)
	s.activated()
	awaitHTTP(t, url+"/v2/models/resnet18_v2/ready")
	defer http.DefaultClient.CloseIdleConnections()
	c := &clients{t, strings.TrimPrefix(url, "http://"), grpc, "resnet18_v2"}
	t.Run("tritonclient over HTTP", func(t *testing.T) { c.checks(t, 60, "triton_http.py", c.http, c.model) })
	t.Run("tritonclient over gRPC", func(t *testing.T) { c.checks(t, 100, "triton_grpc.py", c.grpc, c.model) })
	t.Run("KServe over both", func(t *testing.T) { c.checks(t, 13, "kserve_both.py", c.http, c.grpc, c.model) })
	t.Run("perf_analyzer", c.perfAnalyzer)
	t.Run("grpcurl", c.grpcurl)
	t.Run("curl", c.curl)
}

// run runs a program of the virtual environment, or of the system, and returns what it says.
func (c *clients) run(t *testing.T, env []string, program string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, program, args...)
	command.Env = append(command.Environ(), env...)
	var out bytes.Buffer
	command.Stdout, command.Stderr = &out, &out
	err := command.Run()
	t.Logf("%s %s\n%s", filepath.Base(program), strings.Join(args, " "), out.String())
	return out.String(), err
}

func inClients(parts ...string) string {
	return filepath.Join(append([]string{*clientsIn}, parts...)...)
}

// checks runs a program that prints a line for each check.
func (c *clients) checks(t *testing.T, least int, script string, args ...string) {
	out, err := c.run(t, nil, inClients("bin", "python"), append([]string{filepath.Join("clients", script)}, args...)...)
	if n := strings.Count(out, "ok: "); err != nil || n < least {
		t.Errorf("%v; %d checks of at least %d", err, n, least)
	}
}

// perfAnalyzer runs Triton's load generator as it is: a closed loop, and an open one.
func (c *clients) perfAnalyzer(t *testing.T) {
	found, err := filepath.Glob(inClients("lib", "python3*", "site-packages", "nvidia", "cuda_runtime", "lib"))
	if err != nil || len(found) != 1 {
		t.Fatalf("libcudart is in %v, %v", found, err)
	}
	for protocol, address := range map[string]string{"http": c.http, "grpc": c.grpc} {
		for loop, args := range map[string][]string{
			"closed": {"--concurrency-range", "2"},
			"open":   {"--request-rate-range", "20", "--request-distribution", "poisson"},
		} {
			args = append([]string{"-m", c.model, "-i", protocol, "-u", address, "--measurement-mode", "count_windows", "--measurement-request-count", "20",
				"--measurement-interval", "500", "--stability-percentage", "999", "--max-trials", "3", "-H", "clockwork-timeout:20s"}, args...) // it ends at the first refusal
			out, err := c.run(t, []string{"LD_LIBRARY_PATH=" + found[0]}, inClients("bin", "perf_analyzer"), args...)
			if err != nil || !strings.Contains(out, "Throughput: ") || !strings.Contains(out, "Inference count: ") || strings.Contains(out, "Throughput: 0 ") {
				t.Errorf("%s, %s loop: %v", protocol, loop, err)
			}
		}
	}
}

// grpcurl finds the services by reflection, asks after health as Kubernetes does, and infers.
func (c *clients) grpcurl(t *testing.T) {
	for _, call := range []struct {
		args []string
		want string
	}{
		{[]string{c.grpc, "list"}, "inference.GRPCInferenceService"},
		{[]string{c.grpc, "grpc.health.v1.Health/Check"}, `"status": "SERVING"`},
		{[]string{"-d", `{"service":"` + c.model + `"}`, c.grpc, "grpc.health.v1.Health/Check"}, `"status": "SERVING"`},
		{[]string{c.grpc, "inference.GRPCInferenceService/ServerReady"}, `"ready": true`},
		{[]string{"-d", `{"name":"` + c.model + `"}`, c.grpc, "inference.GRPCInferenceService/ModelMetadata"}, `"datatype": "FP32"`},
		{[]string{"-d", `{"model_name":"` + c.model + `","parameters":{"slo_ms":{"int64_param":"20000"}}}`, c.grpc, "inference.GRPCInferenceService/ModelInfer"}, `"rawOutputContents"`},
	} {
		out, err := c.run(t, nil, inClients("bin", "grpcurl"), append([]string{"-plaintext"}, call.args...)...)
		if err != nil || !strings.Contains(out, call.want) {
			t.Errorf("%v: %v, without %s", call.args, err, call.want)
		}
	}
	out, err := c.run(t, nil, inClients("bin", "grpcurl"), "-plaintext", "-d", `{"model_name":"nobody"}`, c.grpc, "inference.GRPCInferenceService/ModelInfer")
	if err == nil || !strings.Contains(out, "NotFound") || !strings.Contains(out, "UNKNOWN_MODEL") {
		t.Errorf("an unknown model: %v", err)
	}
}

func (c *clients) curl(t *testing.T) {
	out, err := c.run(t, nil, "curl", "--fail", "--silent", "--show-error", "-d", `{"parameters":{"slo_ms":20000},"inputs":[]}`, "http://"+c.http+"/v2/models/"+c.model+"/infer")
	if err != nil || !strings.Contains(out, `"model_name":"`+c.model+`"`) {
		t.Errorf("%v", err)
	}
}
