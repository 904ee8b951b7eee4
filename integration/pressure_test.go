package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/backend/emulated"
	"clockwork/pkg/protocol"
)

// TestManyModelsFewPages serves more models than the GPUs hold, on GPUs that
// fail and stall occasionally, to clients with tight and loose targets. Every
// request has exactly one reply with a code from the table, some of them OK, and
// afterwards no page is lost.
func TestManyModelsFewPages(t *testing.T) {
	config := quick()
	config.workers, config.gpus, config.pages = 2, 2, 12
	config.scale = 0.2
	s := startStack(t, config)
	s.awaitState("both workers", func(st *protocol.StackState) bool { return len(st.Workers) == 2 })
	s.load("zoo/resnet50_v2", 8) // 7 pages each: one per GPU
	s.load("zoo/resnet18_v2", 4) // 3 pages each
	state := s.activated()
	var models []string
	for _, m := range state.Models {
		models = append(models, m.Name)
	}

	const requests = 1500
	replies := newReplyCount(requests)
	nc := s.plain()
	inbox := nc.NewInbox()
	if _, err := nc.Subscribe(inbox+".*", replies.take); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range requests {
		slo := []float64{1, 20, 200, 5000}[rng.IntN(4)]
		body := fmt.Sprintf(`{"parameters":{"slo_ms":%v},"inputs":[]}`, slo)
		subject := "clockwork.infer." + models[rng.IntN(len(models))]
		if err := nc.PublishRequest(subject, inbox+"."+strconv.Itoa(i), []byte(body)); err != nil {
			t.Fatal(err)
		}
		if i%10 == 9 {
			time.Sleep(5 * time.Millisecond) // bursts with pauses, rather than one flood
		}
	}
	replies.await(t)
	time.Sleep(200 * time.Millisecond) // a second reply would arrive now
	replies.check(t)

	quiet := s.awaitState("nothing in flight", func(st *protocol.StackState) bool { return len(st.Workers) == 2 })
	for _, w := range quiet.Workers {
		for _, g := range w.GPUs {
			held := 0
			for _, name := range g.Models {
				held += pagesOf(quiet, name)
			}
			if held != g.PagesUsed || g.PagesUsed > g.PagesTotal {
				t.Errorf("%s GPU %d: %d of %d pages used, its models %v take %d", w.ID, g.ID, g.PagesUsed, g.PagesTotal, g.Models, held)
			}
		}
	}
}

// TestFailingGPUsAreErrorsOrRetries checks that requests on GPUs that fail one
// in ten actions end with OK or BACKEND_ERROR, and that the stack continues.
func TestFailingGPUsAreErrorsOrRetries(t *testing.T) {
	config := quick()
	config.faults = emulated.Faults{Seed: 3, FailEvery: 10, StallEvery: 50, Stall: 20 * time.Millisecond}
	s := startStack(t, config)
	s.load("zoo/resnet18_v2", 2)
	s.activated()
	ok, failed := 0, map[protocol.Code]int{}
	for i := range 200 {
		_, refusal := s.infer(fmt.Sprintf("resnet18_v2-%d", 1+i%2), 5*time.Second, 0)
		if refusal == nil {
			ok++
		} else {
			failed[refusal.Code]++
		}
	}
	delete(failed, protocol.BackendError)
	if ok < 100 || len(failed) > 0 {
		t.Errorf("%d of 200 OK, unexpected %v", ok, failed)
	}
}

func pagesOf(state *protocol.StackState, model string) int {
	for _, m := range state.Models {
		if m.Name == model {
			return m.Pages
		}
	}
	return 0
}

// replyCount counts the replies of each request, and their codes.
type replyCount struct {
	mu    sync.Mutex
	count []int
	codes map[string]int
	left  int
	all   chan struct{}
}

func newReplyCount(n int) *replyCount {
	return &replyCount{count: make([]int, n), codes: map[string]int{}, left: n, all: make(chan struct{})}
}

func (r *replyCount) take(m *nats.Msg) {
	var answer map[string]any
	code := "no JSON"
	if json.Unmarshal(m.Data, &answer) == nil {
		code = codeOf(answer)
	}
	i, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || i >= len(r.count) {
		r.codes["on no subject of ours"]++
		return
	}
	r.codes[code]++
	if r.count[i]++; r.count[i] == 1 {
		if r.left--; r.left == 0 {
			close(r.all)
		}
	}
}

func (r *replyCount) await(t *testing.T) {
	t.Helper()
	select {
	case <-r.all:
	case <-time.After(patience):
		r.mu.Lock()
		defer r.mu.Unlock()
		t.Fatalf("%d requests have no reply; codes %v", r.left, r.codes)
	}
}

func (r *replyCount) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, n := range r.count {
		if n != 1 {
			t.Errorf("request %d has %d replies", i, n)
		}
	}
	for code := range r.codes {
		if !protocol.Code(code).Known() {
			t.Errorf("replies with %q: %v", code, r.codes)
		}
	}
	if r.codes["OK"] == 0 {
		t.Errorf("nothing was served: %v", r.codes)
	}
	t.Logf("replies: %v", r.codes)
}
