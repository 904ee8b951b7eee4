package summary

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// requests counts what a front door answered in a period.
type requests struct {
	mu      sync.Mutex
	total   int
	ok      int
	inSLO   int
	latency durations // of the OK answers
	refused map[protocol.Code]int
}

func (s *requests) onRequest(r *watch.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	if r.Code != protocol.OK {
		if s.refused == nil {
			s.refused = map[protocol.Code]int{}
		}
		s.refused[r.Code]++
		return
	}
	s.ok++
	s.latency.add(r.Latency())
	if r.SLO == 0 || r.Latency() <= r.SLO {
		s.inSLO++
	}
}

// answers is the summary of the requests of a period.
type answers struct {
	total, ok, inSLO int
	p50, p99, max    float64 // ms
	refused          map[protocol.Code]int
}

// end ends a period and returns its answers.
func (s *requests) end() answers {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := answers{s.total, s.ok, s.inSLO,
		s.latency.at(50, time.Millisecond), s.latency.at(99, time.Millisecond), s.latency.max(time.Millisecond), s.refused}
	s.total, s.ok, s.inSLO, s.refused = 0, 0, 0, nil
	s.latency.reset()
	return a
}

func (a answers) report(log *slog.Logger, took time.Duration) {
	if a.total == 0 {
		return
	}
	fields := []any{
		"throughput", perSecond(a.total, took), "goodput", perSecond(a.inSLO, took),
		"success", share(a.ok, a.total), "in_slo", share(a.inSLO, a.total),
		"p50_ms", a.p50, "p99_ms", a.p99, "max_ms", a.max,
	}
	var refused []any
	for _, code := range a.codes() {
		refused = append(refused, string(code), a.refused[code])
	}
	if len(refused) > 0 {
		fields = append(fields, slog.Group("refused", refused...))
	}
	log.Info("requests", fields...)
}

// brief returns one line for people.
func (a answers) brief(took time.Duration) string {
	text := fmt.Sprintf("%s requests/s, %.3g %% in time", short(perSecond(a.total, took)), 100*share(a.inSLO, a.total))
	if a.ok > 0 {
		text += fmt.Sprintf(", p50 %s ms, p99 %s, max %s", short(a.p50), short(a.p99), short(a.max))
	}
	var refused []string
	for _, code := range a.codes() {
		refused = append(refused, fmt.Sprintf("%d %s", a.refused[code], code))
	}
	return strings.Join(append([]string{text}, refused...), ", ")
}

// short formats a number with at least three digits, and no decimals from 100 on.
func short(x float64) string {
	if x >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.3g", x)
}

// codes returns the refusals' codes in the order of the table of codes.
func (a answers) codes() (codes []protocol.Code) {
	for _, row := range protocol.Codes {
		if a.refused[row.Code] > 0 {
			codes = append(codes, row.Code)
		}
	}
	return codes
}

func perSecond(n int, took time.Duration) float64 { return rounded(float64(n) / took.Seconds()) }

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return rounded(float64(n) / float64(of))
}
