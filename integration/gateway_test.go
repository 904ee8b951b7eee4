package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
	"clockwork/services/gateway"
)

// A gateway as clients of HTTP see it, in front of all real services.

func freeAddress(t *testing.T) string {
	t.Helper()
	address, err := chaos.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// overHTTP sends a request; headers come in pairs.
func overHTTP(t *testing.T, method, url string, body []byte, headers ...string) (int, http.Header, []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	r.Close = true
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer func() { _ = res.Body.Close() }()
	got, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return res.StatusCode, res.Header, got
}

func postHTTP(t *testing.T, url, body string) (int, string) {
	t.Helper()
	status, _, got := overHTTP(t, http.MethodPost, url, []byte(body))
	return status, string(got)
}

// awaitHTTP waits until a path answers 200.
func awaitHTTP(t *testing.T, url string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		status, _, body := overHTTP(t, http.MethodGet, url, nil)
		if status == http.StatusOK {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %d %s", url, status, body)
		}
	}
}

// startGateway starts a gateway on the stack's broker and returns its address.
func (s *stack) startGateway() (url string, stop func()) {
	s.t.Helper()
	config := gateway.DefaultConfig()
	config.StopWait = time.Second
	var err error
	if config.HTTP.Listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		s.t.Fatal(err)
	}
	service, err := gateway.NewService(config, bus.Config{URL: s.broker.ClientURL(), Prefix: protocol.DefaultPrefix, Log: s.log})
	return "http://" + config.HTTP.Listener.Addr().String(), s.run("gateway", service, err)
}

// appendFloat appends a float of 32 bits, little-endian.
func appendFloat(data []byte, v float32) []byte {
	bits := math.Float32bits(v)
	return append(data, byte(bits), byte(bits>>8), byte(bits>>16), byte(bits>>24))
}

// TestAModelIsServedOverHTTP by all services: before activation it is refused, and after it
// JSON and binary tensors have the same meaning, and a deadline is one.
func TestAModelIsServedOverHTTP(t *testing.T) {
	s := startStack(t, quick())
	url, _ := s.startGateway()
	awaitHTTP(t, url+"/v2/health/live")
	if status, body := postHTTP(t, url+"/v2/models/resnet18_v2/infer", `{}`); status != http.StatusServiceUnavailable {
		t.Errorf("before activation: %d %s", status, body)
	}
	s.load("zoo/resnet18_v2", 1)
	s.activated()
	awaitHTTP(t, url+"/v2/models/resnet18_v2/ready")
	model := url + "/v2/models/resnet18_v2"

	var metadata struct {
		Inputs []struct {
			Name, Datatype string
			Shape          []int64
		}
	}
	_, _, text := overHTTP(t, http.MethodGet, model, nil)
	if err := json.Unmarshal(text, &metadata); err != nil || len(metadata.Inputs) != 1 || metadata.Inputs[0].Shape[0] != -1 {
		t.Fatalf("metadata: %v, %s", err, text)
	}
	in := metadata.Inputs[0]
	elements := int(protocol.Elements(in.Shape[1:]))
	data := make([]byte, 0, 4*elements)
	numbers := make([]string, 0, elements)
	for i := range elements {
		v := float32(i%7) / 4
		data = appendFloat(data, v)
		numbers = append(numbers, strconv.FormatFloat(float64(v), 'g', -1, 32))
	}
	shape := append([]int64{1}, in.Shape[1:]...)
	head := `{"id":"r1","parameters":{"slo_ms":5000,"binary_data_output":true},"inputs":[{"name":"` + in.Name + `","datatype":"FP32","shape":` + protocol.ShapeString(shape) + `,"parameters":{"binary_data_size":` + strconv.Itoa(len(data)) + `}}]}`
	status, header, answer := overHTTP(t, http.MethodPost, model+"/infer", append([]byte(head), data...), wire.HeaderLength, strconv.Itoa(len(head)))
	at, err := strconv.Atoi(header.Get(wire.HeaderLength))
	if status != http.StatusOK || err != nil || len(answer)-at != 4000 {
		t.Fatalf("binary: %d %v, %d bytes, %.300s", status, header, len(answer), answer)
	}
	asJSON := `{"parameters":{"slo_ms":5000},"inputs":[{"name":"` + in.Name + `","datatype":"FP32","shape":` + protocol.ShapeString(shape) + `,"data":[` + strings.Join(numbers, ",") + `]}]}`
	status, body := postHTTP(t, model+"/infer", asJSON)
	r, fault := wire.DecodeResponse([]byte(body))
	if status != http.StatusOK || fault != nil || len(r.Outputs) != 1 || len(r.Outputs[0].Data) != 4000 || r.Parameters.ExecUS <= 0 {
		t.Errorf("JSON: %d %v, %.300s", status, fault, body)
	}
	if status, body := postHTTP(t, model+"/infer", `{"parameters":{"timeout":1}}`); status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout || !strings.Contains(body, "DEADLINE_") {
		t.Errorf("a deadline that cannot be met: %d %s", status, body)
	}
}

// TestOneOfTwoGatewaysIsKilled: the other one serves on, and the scheduler answers for nobody.
func TestOneOfTwoGatewaysIsKilled(t *testing.T) {
	s := startStack(t, quick())
	url, _ := s.startGateway()
	first := freeAddress(t)
	killed := startProcess(t, "gateway", "--http", first, "--grpc", "127.0.0.1:0", "--nats", s.broker.ClientURL())
	s.load("zoo/resnet18_v2", 1)
	s.activated()
	awaitHTTP(t, "http://"+first+"/v2/models/resnet18_v2/ready")
	awaitHTTP(t, url+"/v2/models/resnet18_v2/ready")
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() { // requests are in flight at the one that is killed
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			res, err := http.Post("http://"+first+"/v2/models/resnet18_v2/infer", "application/json", strings.NewReader(`{"parameters":{"slo_ms":5000}}`))
			if err == nil {
				_, _ = io.Copy(io.Discard, res.Body)
				_ = res.Body.Close()
			}
		}
	}()
	for i := range 200 {
		if i == 50 {
			killed.Kill()
		}
		if status, body := postHTTP(t, url+"/v2/models/resnet18_v2/infer", `{"parameters":{"slo_ms":5000}}`); status != http.StatusOK {
			t.Fatalf("request %d at the other gateway: %d %s", i, status, body)
		}
	}
	close(stop)
	<-ended
	http.DefaultClient.CloseIdleConnections()
}

// TestAGatewayDrains: after SIGTERM its readiness says so, and it serves on until its time is
// over.
func TestAGatewayDrains(t *testing.T) {
	s := startStack(t, quick())
	s.load("zoo/resnet18_v2", 1)
	address := freeAddress(t)
	url := "http://" + address
	p := startProcess(t, "gateway", "--http", address, "--grpc", "127.0.0.1:0", "--nats", s.broker.ClientURL(), "--shutdown-delay", "1m")
	s.activated()
	awaitHTTP(t, url+"/v2/models/resnet18_v2/ready")
	if err := p.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		if status, _, _ := overHTTP(t, http.MethodGet, url+"/v2/health/ready", nil); status == http.StatusServiceUnavailable {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is ready although it was told to stop")
		}
	}
	if status, body := postHTTP(t, url+"/v2/models/resnet18_v2/infer", `{"parameters":{"slo_ms":5000}}`); status != http.StatusOK {
		t.Errorf("while it drains: %d %s", status, body)
	}
	if err := p.Signal(syscall.SIGTERM); err != nil { // a second signal ends it at once
		t.Fatal(err)
	}
	p.wait()
}

// TestAStackOfGatewaysAloneIsWhole: no front door hears the broker, and whoever looks is told
// that requests over HTTP are served. Without the gateway too, nobody takes requests.
func TestAStackOfGatewaysAloneIsWhole(t *testing.T) {
	config := quick()
	config.controller.NoClients = true
	s := startStack(t, config)
	url, stop := s.startGateway()
	s.awaitState("a gateway", func(st *protocol.StackState) bool { return st.FrontDoor == protocol.FrontDoorGateway })
	s.load("zoo/resnet18_v2", 1)
	state := s.awaitState("ACTIVE and whole", func(st *protocol.StackState) bool {
		return st.Stage == protocol.Active && st.Serving().Missing() == "" && st.Unhealthy() == ""
	})
	if state.FrontDoor != protocol.FrontDoorGateway || state.Blocked != "" {
		t.Errorf("front door %q, blocked %q", state.FrontDoor, state.Blocked)
	}
	awaitHTTP(t, url+"/v2/models/resnet18_v2/ready")
	if status, body := postHTTP(t, url+"/v2/models/resnet18_v2/infer", `{"parameters":{"slo_ms":5000}}`); status != http.StatusOK {
		t.Errorf("over HTTP: %d %s", status, body)
	}
	stop()
	s.awaitState("nobody takes requests", func(st *protocol.StackState) bool {
		return st.FrontDoor == protocol.ServiceAbsent && strings.Contains(st.Unhealthy(), "no front door")
	})
}
