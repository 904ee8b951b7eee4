package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/workload"
	"clockwork/pkg/protocol"
)

// Config describes a run.
type Config struct {
	Workload workload.Workload
	// Models are the stack's models, one per instance of the workload; see Match.
	Models  []protocol.ModelState
	Payload Payload
	// Lines are connections, used in turn.
	Lines []Line
	// Pools bound requests in flight; streams without a pool are not bounded. No stream is in
	// two pools.
	Pools []Pool
	// Margin is taken off the time that a request tells the server to have left.
	Margin time.Duration
	// DefaultSLO applies to requests to which the workload gives no SLO.
	DefaultSLO time.Duration
	// Warmup is the part at the start that is sent but not measured.
	Warmup time.Duration
	// Window is the length of one point of the report's series.
	Window time.Duration
	// Grace is how long after its SLO a request may still be answered. Patience
	// bounds the wait for open requests at the end of the run.
	Grace, Patience time.Duration
}

func (c Config) validate() error {
	if len(c.Models) != len(c.Workload.Instances()) || len(c.Lines) == 0 {
		return fmt.Errorf("%d models for %d instances, %d connections", len(c.Models), len(c.Workload.Instances()), len(c.Lines))
	}
	if c.DefaultSLO <= 0 || c.Window <= 0 || c.Warmup < 0 || c.Grace < 0 || c.Patience < 0 || c.Margin < 0 {
		return errors.New("default SLO and window must be positive, warm-up, grace, patience and margin not negative")
	}
	return nil
}

// run is the state of a run.
type run struct {
	Config
	tally  *Tally
	source *workload.Source
	inputs known
	lines  []*line
	began  time.Time
	alarm  *clock.Alarm

	// closed reports which streams are closed loops, pools their bounds. returned holds the
	// ended requests of both.
	closed   []bool
	pools    []*pool
	waiting  int // open requests of closed loops; only the sender uses it
	turn     int // of the lines; only the sender uses it
	mu       sync.Mutex
	returned []workload.Arrival
	over     bool // the alarm is closed
}

// line is one connection and its open requests.
type line struct {
	run *run
	Line
	book book
}

// expireEvery is the interval between searches for expired requests.
const expireEvery = 50 * time.Millisecond

// Run sends the workload and returns the report. When ctx ends, Run stops
// sending, waits briefly for open requests, and reports the results so far.
// progress, if not nil, is called twice per second from one goroutine.
func Run(ctx context.Context, c Config, progress func(Progress)) (*Report, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	r := &run{Config: c, tally: NewTally(len(c.Models), protocol.Time(c.Warmup), c.Window), alarm: clock.NewAlarm()}
	defer r.close()
	if err := r.prepare(); err != nil {
		return nil, err
	}
	stopWatch := r.watch(ctx, progress)
	wall := time.Now()
	ended := r.sendAll(ctx)
	r.drain(ctx)
	stopWatch()
	return r.report(ctx, wall, ended), nil
}

// prepare encodes all requests and opens the connections, so that neither takes
// time later.
func (r *run) prepare() (err error) {
	if r.source, err = r.Workload.Source(execution(r.Workload, r.Models)); err != nil {
		return err
	}
	r.inputs = known{r.Payload, map[inputsKey]*Inputs{}}
	r.pools = pools(r.Pools, len(r.Workload.Streams))
	for _, s := range r.Workload.Streams {
		if _, err := r.inputs.of(r.Models[s.Model], max(s.Batch, 1)); err != nil {
			return err
		}
		_, closed := s.Process.(workload.Closed)
		r.closed = append(r.closed, closed)
	}
	for _, of := range r.Lines {
		l := &line{run: r, Line: of}
		if err = l.Open(l.answered); err != nil {
			return err
		}
		r.lines = append(r.lines, l)
	}
	r.began = time.Now()
	return nil
}

// execution returns each path's execution time at batch 1 on the fastest GPU
// type.
func execution(w workload.Workload, models []protocol.ModelState) func(path string) time.Duration {
	known := map[string]time.Duration{}
	for i, in := range w.Instances() {
		for _, p := range models[i].Profile {
			if one, ok := p.At(1); ok && (known[in.Path] == 0 || one.P50 < known[in.Path]) {
				known[in.Path] = one.P50
			}
		}
	}
	return func(path string) time.Duration { return known[path] }
}

func (r *run) now() protocol.Time { return protocol.Time(time.Since(r.began)) }

// sendAll sends until the workload or ctx ends, and returns that time.
func (r *run) sendAll(ctx context.Context) protocol.Time {
	stop := context.AfterFunc(ctx, r.poke)
	defer stop()
	return r.send(ctx)
}

// The sender sleeps at least for tick, because a wake-up costs as much as
// sending several requests, at the expense of a stack on the same machine. It
// sleeps at most for idle.
const (
	tick = 200 * time.Microsecond
	idle = 100 * time.Millisecond
)

// send sends all requests that are due at one moment over one connection, in one
// write.
func (r *run) send(ctx context.Context) protocol.Time {
	for ; ; r.turn++ {
		r.takeReturned()
		now := r.now()
		for r.source.Peek() <= now {
			if ctx.Err() != nil {
				return now
			}
			a, _ := r.source.Next()
			r.due(a, now)
			now = r.now()
		}
		if ctx.Err() != nil || r.source.Peek() == protocol.Never && r.waiting == 0 && !r.queued() {
			return now
		}
		r.alarm.Sleep(min(max(r.source.Peek().Sub(now), tick), idle))
	}
}

// due sends a request, or lets it wait for a place.
func (r *run) due(a workload.Arrival, now protocol.Time) {
	if a.SLO == 0 {
		a.SLO = r.DefaultSLO
	}
	if p := r.pools[a.Stream]; p != nil {
		p.waiting = append(p.waiting, a)
		r.sendWaiting(p)
		return
	}
	r.sendOne(a, now)
}

// sendWaiting sends the requests of a pool for which there is a place.
func (r *run) sendWaiting(p *pool) {
	for _, a := range p.tooLate(r.now(), r.expires) {
		r.tally.Sent(a, r.now().Sub(a.At))
		r.tally.NoAnswer(a)
	}
	for _, a := range p.take() {
		r.turn++ // each over the next connection
		r.sendOne(a, r.now())
	}
}

// expires is when a request that was not sent counts as NoAnswer.
func (r *run) expires(a workload.Arrival) protocol.Time { return a.At.Add(a.SLO + r.Grace) }

// queued reports whether requests wait for a place.
func (r *run) queued() bool {
	return slices.ContainsFunc(r.pools, func(p *pool) bool { return p != nil && len(p.waiting) > 0 })
}

func (r *run) sendOne(a workload.Arrival, now protocol.Time) {
	l := r.lines[r.turn%len(r.lines)]
	if r.closed[a.Stream] {
		r.waiting++
	}
	in, err := r.inputs.of(r.Models[a.Model], a.Batch)
	if err != nil {
		panic(err) // all inputs were made before
	}
	late := now.Sub(a.At)
	r.tally.Sent(a, late)
	token := l.book.enter(a, now, now.Add(a.SLO+r.Grace))
	if err := l.Send(token, r.Models[a.Model].Name, in, max(a.SLO-late-r.Margin, leastWithin)); err != nil {
		l.answered(token, client.Outcome{Code: protocol.StateUnavailable})
	}
}

// answered is the connection's callback.
func (l *line) answered(token uint64, o client.Outcome) {
	a, sent, open := l.book.leave(token)
	if !open {
		l.run.tally.Stray()
		return
	}
	l.run.tally.Done(a, sent.Sub(a.At), l.run.now().Sub(a.At), o)
	l.run.giveBack(a)
}

// giveBack lets the client of a closed loop continue, or another request have the place.
func (r *run) giveBack(a workload.Arrival) {
	if !r.closed[a.Stream] && r.pools[a.Stream] == nil {
		return
	}
	r.mu.Lock()
	r.returned = append(r.returned, a)
	first := len(r.returned) == 1
	r.mu.Unlock()
	if first {
		r.poke()
	}
}

// poke wakes the sender.
func (r *run) poke() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.over {
		r.alarm.Poke()
	}
}

// close frees the alarm; callbacks may still follow.
func (r *run) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
	r.alarm.Close()
}

// takeReturned reports the answers of closed loops to the source, with the
// current time: a client's delay in seeing an answer is not the stack's. It gives the
// places of pools away.
func (r *run) takeReturned() {
	r.mu.Lock()
	returned := r.returned
	r.returned = nil
	r.mu.Unlock()
	now := r.now()
	for _, a := range returned {
		if r.closed[a.Stream] {
			r.waiting--
			r.source.Done(a, now)
		}
		if p := r.pools[a.Stream]; p != nil {
			p.free++
			r.sendWaiting(p)
		}
	}
}

// watch expires requests and reports progress, until stop is called.
func (r *run) watch(ctx context.Context, progress func(Progress)) (stop func()) {
	over := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		last := r.now()
		for tick := 1; ; tick++ {
			select {
			case <-over:
				return
			case <-time.After(expireEvery):
			}
			r.expire(r.now())
			if now := r.now(); progress != nil && tick%10 == 0 && ctx.Err() == nil {
				p := r.tally.Progress(now.Sub(last))
				p.Elapsed, p.Length, last = time.Duration(now), r.Workload.Length, now
				progress(p)
			}
		}
	})
	return func() { close(over); watching.Wait() }
}

func (r *run) expire(now protocol.Time) {
	for _, l := range r.lines {
		for _, a := range l.book.expired(now) {
			r.tally.NoAnswer(a)
			r.giveBack(a)
		}
	}
}

// drain waits for the outstanding answers.
func (r *run) drain(ctx context.Context) {
	patience := r.Patience
	if ctx.Err() != nil {
		patience = min(patience, r.Grace)
	}
	for end := time.Now().Add(patience); r.open() > 0 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	for _, l := range r.lines {
		for _, a := range l.book.expired(protocol.Never) {
			r.tally.Unfinished(a)
		}
	}
}

func (r *run) open() (n int) {
	for _, l := range r.lines {
		n += l.book.open()
	}
	return n
}

func (r *run) report(ctx context.Context, wall time.Time, ended protocol.Time) *Report {
	length := r.Workload.Length
	interrupted := ctx.Err() != nil && (length == 0 || time.Duration(ended) < length)
	if interrupted || length == 0 {
		length = time.Duration(ended)
	}
	names := make([]string, len(r.Models))
	for i, m := range r.Models {
		names[i] = m.Name
	}
	report := r.tally.Report(names, max(0, length-r.Warmup))
	report.Began, report.Interrupted = wall, interrupted
	return report
}
