package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/client"
	"clockwork/pkg/lab/chaos"
	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// The clients of a gateway beside those of the broker: one stack, clockwork up in a process of
// its own, which hears both, and the same load from this process, in turns.

// gatewaySizes have the rate at which latencies are compared.
var gatewaySizes = []size{
	{"256 B", 256, "zoo/null", 256, 1000},
	{"4 kB", 4096, "zoo/null_4k", 256, 1000},
	{"600 kB", 602112, "zoo/null_600k", 16, 200},
}

// ingresses are what clients may speak besides NATS.
var ingresses = map[string]func(s size, up *upStack, models []string, x *side) error{"http": openHTTP, "grpc": openGRPC}

// benchGateway prints a row for each ingress and size.
func benchGateway(o options) error {
	if o.binary == "" {
		return errors.New("-gateway needs -binary: the stack runs in a process of its own")
	}
	fmt.Printf("clockwork up, medians of %d rounds of %v\n\n", o.rounds, o.length)
	fmt.Println("| | payload | NATS req/s | req/s | ratio | NATS CPU us | CPU us | rate | NATS p50/p99 us | p50/p99 us | p50 more |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, name := range []string{"http", "grpc"} {
		for _, s := range gatewaySizes {
			if !strings.Contains(name+" "+s.name, o.only) {
				continue
			}
			row, err := compareIngress(o, name, s)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", name, s.name, err)
			}
			fmt.Println(row)
		}
	}
	return nil
}

// compareIngress measures NATS and another ingress of one stack alternately.
func compareIngress(o options, name string, s size) (string, error) {
	up, err := startUp(o)
	if err != nil {
		return "", fmt.Errorf("start clockwork up: %w", err)
	}
	overNATS, other := &side{name: "NATS", body: inferBody(s.bytes)}, &side{name: name}
	defer up.stop()
	defer overNATS.close()
	defer other.close()
	nc, err := nats.Connect(up.nats)
	if err != nil {
		return "", err
	}
	if err := overNATS.activate(nc, s); err != nil {
		return "", err
	}
	if err := awaitReady(up.http, overNATS.models[0]); err != nil {
		return "", err
	}
	if err := ingresses[name](s, up, overNATS.models, other); err != nil {
		return "", err
	}
	sides := []*side{overNATS, other}
	for _, x := range sides { // warm up
		if _, err := x.closedLoop(s, o.length/2); err != nil {
			return "", err
		}
	}
	costs := map[*side][]float64{}
	for range o.rounds {
		for _, x := range sides {
			before := up.processorTime()
			if err := x.measure(s, o.length); err != nil {
				return "", fmt.Errorf("%s: %w", x.name, err)
			}
			// The open loop is part of it: a request costs somewhat more there.
			requests := (x.throughput[len(x.throughput)-1] + float64(s.rate)) * o.length.Seconds()
			costs[x] = append(costs[x], (up.processorTime()-before).Seconds()*1e6/requests)
		}
	}
	var ratios, above []float64
	for i := range o.rounds {
		ratios = append(ratios, other.throughput[i]/overNATS.throughput[i])
		above = append(above, other.p50[i]-overNATS.p50[i])
	}
	return strings.Join([]string{"| " + name, s.name,
		fmt.Sprintf("%.0f", median(overNATS.throughput)), fmt.Sprintf("%.0f", median(other.throughput)), fmt.Sprintf("%.2f", median(ratios)),
		fmt.Sprintf("%.0f", median(costs[overNATS])), fmt.Sprintf("%.0f", median(costs[other])),
		fmt.Sprintf("%d/s", s.rate),
		fmt.Sprintf("%.0f / %.0f", median(overNATS.p50), median(overNATS.p99)),
		fmt.Sprintf("%.0f / %.0f", median(other.p50), median(other.p99)),
		fmt.Sprintf("%+.0f |", median(above))}, " | "), nil
}

// upStack is a stack in a process, and where clients reach it.
type upStack struct {
	nats, http, grpc string
	process          *exec.Cmd
	stop             func()
}

// processorTime is what the stack and this process have used.
func (u *upStack) processorTime() time.Duration {
	var own syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own) // it does not fail for this process
	used := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", u.process.Process.Pid))
	if err != nil {
		return used
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	const tick = 10 * time.Millisecond // of the kernel's accounts
	for _, field := range fields[11:13] {
		if ticks, err := strconv.Atoi(field); err == nil {
			used += time.Duration(ticks) * tick
		}
	}
	return used
}

func startUp(o options) (*upStack, error) {
	broker, err := chaos.FreeAddress()
	if err != nil {
		return nil, err
	}
	web, err := chaos.FreeAddress()
	if err != nil {
		return nil, err
	}
	calls, err := chaos.FreeAddress()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(o.binary, "up", "--listen", broker, "--http", web, "--grpc", calls, "--policy", "simple", "--gpus", strconv.Itoa(gpus),
		"--load-idle", loadIdle.String(), "--log-level", "error")
	stop, err := startProcess(cmd, "Clockwork is up")
	return &upStack{nats: "nats://" + broker, http: web, grpc: calls, process: cmd, stop: stop}, err
}

// awaitReady waits until a model is served over HTTP.
func awaitReady(host, model string) error {
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		res, err := http.Get("http://" + host + "/v2/models/" + model + "/ready")
		if err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				http.DefaultClient.CloseIdleConnections()
				return nil
			}
			err = errors.New(res.Status)
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not served over HTTP: %w", model, err)
		}
	}
}

// openHTTP opens as many connections as requests are outstanding; each has one at a time.
func openHTTP(s size, up *upStack, models []string, x *side) error {
	x.began, x.done, x.subjects = time.Now(), make(chan int, slots), models
	queue := make(chan order, slots)
	x.stops = append(x.stops, func() { close(queue) })
	x.send1 = func(slot int, model string) error { queue <- order{slot, model}; return nil }
	requests := map[string][]byte{}
	for _, model := range models {
		requests[model] = httpRequest(model, s.bytes)
	}
	for range s.outstanding {
		c, err := net.Dial("tcp", up.http)
		if err != nil {
			return err
		}
		go func() {
			defer func() { _ = c.Close() }()
			in := bufio.NewReaderSize(c, 64<<10)
			for o := range queue {
				if _, err := c.Write(requests[o.model]); err != nil {
					x.fail(err.Error())
				} else if err := readAnswer(in); err != nil {
					x.fail(err.Error())
				}
				x.done <- o.slot
			}
		}()
	}
	return nil
}

// order is a request that is to be sent.
type order struct {
	slot  int
	model string
}

// httpRequest is a whole request with a binary tensor of so many bytes, both ways.
func httpRequest(model string, bytes int) []byte {
	head := fmt.Sprintf(`{"parameters":{"slo_ms":10000,"binary_data_output":true},"inputs":[{"name":"input","datatype":"FP32","shape":[1,%d],"parameters":{"binary_data_size":%d}}]}`, bytes/4, bytes)
	request := fmt.Appendf(nil, "POST /v2/models/%s/infer HTTP/1.1\r\nHost: localhost\r\n%s: %d\r\nContent-Length: %d\r\n\r\n%s", model, wire.HeaderLength, len(head), len(head)+bytes, head)
	return append(request, make([]byte, bytes)...)
}

// readAnswer reads an answer, which must be OK.
func readAnswer(in *bufio.Reader) error {
	status, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	failed := ""
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200 ")) {
		failed = string(status)
	}
	length := 0
	for {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if value, is := bytes.CutPrefix(line, []byte("Content-Length: ")); is {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if failed != "" {
		body := make([]byte, length)
		_, _ = io.ReadFull(in, body)
		return fmt.Errorf("%s: %s", failed, body)
	}
	_, err = in.Discard(length)
	return err
}

// loaded returns the models that a stack has loaded, once it serves them.
func loaded(nc *nats.Conn, s size) ([]string, error) {
	c, err := client.New(nc, "")
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	copies := gpus
	var reply *protocol.LoadReply
	for reply == nil {
		found, refusal := c.Load(ctx, protocol.LoadRequest{Path: s.model, Copies: &copies})
		if refusal != nil && refusal.Code != protocol.StateUnavailable {
			return nil, refusal
		}
		if reply = found; reply == nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
	for {
		state, refusal := c.State(ctx)
		if refusal == nil && state.Stage == protocol.Active && state.Epoch != 0 {
			return reply.Models, nil
		}
		if ctx.Err() != nil {
			return nil, errors.New("not active in time")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
