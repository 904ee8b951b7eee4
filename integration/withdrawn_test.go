package integration

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"clockwork/pkg/core/sched"
	"clockwork/pkg/lab/recorder"
	"clockwork/pkg/protocol"
)

// withdrawals are what a scheduler did with withdrawn requests.
type withdrawals struct{ told, refused atomic.Int64 }

func (*withdrawals) Begin(sched.TermSetup) {}

func (w *withdrawals) Step(_ protocol.Time, e sched.TermEvent, out *sched.TermOutput) {
	if _, is := e.(*sched.Withdraw); !is {
		return
	}
	w.told.Add(1)
	for _, d := range out.Refusals {
		if d.Refusal.Code == protocol.Cancelled {
			w.refused.Add(1)
		}
	}
}

// TestWhoGoesAwayLeavesTheQueue: clients over HTTP keep a GPU busy, and others go away at once.
// Their requests leave the scheduler's queue, nobody else is harmed, and a recording of it is
// decided again.
func TestWhoGoesAwayLeavesTheQueue(t *testing.T) {
	config := quick()
	config.scale = 3
	file, err := os.Create(filepath.Join(t.TempDir(), "scheduler"))
	if err != nil {
		t.Fatal(err)
	}
	recording, err := recorder.New(file.Name(), file, newStack(t, config, nil).log)
	if err != nil {
		t.Fatal(err)
	}
	seen := &withdrawals{}
	config.scheduler.Observers = sched.TermObservers{recording, seen}
	s := startBroker(t, config)
	s.startController()
	s.startProfiler()
	stopScheduler := s.startScheduler()
	s.startWorker("w1")
	url, _ := s.startGateway()
	s.load("zoo/resnet18_v2", 1)
	s.activated()
	awaitHTTP(t, url+"/v2/models/resnet18_v2/ready")

	stop := make(chan struct{})
	var busy sync.WaitGroup
	var answered, otherwise atomic.Int64
	for range 40 {
		busy.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				status, body := tryPost(url + "/v2/models/resnet18_v2/infer")
				if answered.Add(1); status != http.StatusOK {
					otherwise.Add(1)
					t.Errorf("a client that stays: %d %s", status, body)
				}
			}
		})
	}
	const enough = 20
	for end := time.Now().Add(patience); seen.refused.Load() < enough; {
		if time.Now().After(end) {
			t.Errorf("%d of %d withdrawn requests left the queue, %d of %d others failed", seen.refused.Load(), seen.told.Load(), otherwise.Load(), answered.Load())
			break
		}
		sendAndLeave(t, strings.TrimPrefix(url, "http://"))
	}
	close(stop)
	busy.Wait()
	http.DefaultClient.CloseIdleConnections()
	if report, refusal := s.client.AskScheduler(t.Context(), protocol.Question{}); refusal != nil || int64(report.Summary.Withdrawn) < seen.refused.Load() {
		t.Errorf("the scheduler counts %+v, %v; %d are withdrawn", report, refusal, seen.refused.Load())
	}
	stopScheduler()
	if err := recording.Close(); err != nil {
		t.Fatal(err)
	}
	v := replayed(t, file.Name())
	if got := v.Outcome.Refused[protocol.Cancelled]; !v.Same() || got < enough {
		t.Errorf("again: %d are withdrawn, %+v", got, v)
	}
	t.Logf("%d of %d withdrawn requests left the queue, beside %d that were answered", seen.refused.Load(), seen.told.Load(), answered.Load())
}

func tryPost(url string) (int, string) {
	res, err := http.Post(url, "application/json", strings.NewReader(`{"parameters":{"slo_ms":60000}}`))
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

// sendAndLeave sends a request and closes the connection.
func sendAndLeave(t *testing.T, address string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"parameters":{"slo_ms":60000}}`
	_, err = io.WriteString(c, "POST /v2/models/resnet18_v2/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: 31\r\n\r\n"+body)
	if err != nil || len(body) != 31 {
		t.Fatal(err, len(body))
	}
	_ = c.Close()
}
