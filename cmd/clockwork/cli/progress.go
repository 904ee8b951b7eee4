package cli

import (
	"fmt"
	"math"
	"strings"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

// Labels of the bars.
const (
	countdownBar = "countdown"
	profilingBar = "profiling"
)

// Progress shows the events of a stack as they come. Only its goroutine uses the
// display; other goroutines post functions to it.
type Progress struct {
	Display *terminal.Display
	// moving: the display can redraw a countdown; otherwise the countdown is one line.
	moving bool
	posts  chan func()
	stop   chan struct{}
	done   chan struct{}

	// Owned by the goroutine.
	countdown countdown
	workers   map[string]bool
	// Counted: the command counts misses itself, so their events are not shown.
	Counted bool
}

// countdown is when loading closes; a zero end means no countdown.
type countdown struct {
	end   time.Time
	total time.Duration
}

func StartProgress(con *Console) *Progress {
	w := &Progress{
		Display: con.Display,
		moving:  con.TTY,
		posts:   make(chan func()),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),
		workers: map[string]bool{},
	}
	go w.run()
	return w
}

func (w *Progress) run() {
	defer close(w.done)
	for {
		var tick <-chan time.Time // nil without a countdown, so that an idle stack causes no wake-ups
		if w.moving && !w.countdown.end.IsZero() {
			tick = time.After(100 * time.Millisecond)
		}
		select {
		case post := <-w.posts:
			post()
		case now := <-tick:
			w.drawCountdown(now)
		case <-w.stop:
			w.Display.Remove(countdownBar)
			_ = w.Display.Done() // a closed terminal is not a failure of the stack
			return
		}
	}
}

// Stop stops the goroutine; later posts are dropped.
func (w *Progress) Stop() {
	close(w.stop)
	<-w.done
}

func (w *Progress) Post(f func()) {
	select {
	case w.posts <- f:
	case <-w.done:
	}
}

// Line shows text above the bars.
func (w *Progress) Line(text string) { w.Post(func() { w.Display.Line(text) }) }

// Bar shows progress.
func (w *Progress) Bar(label string, done, total int, note string) {
	w.Post(func() { w.Display.Bar(label, done, total, note) })
}

// Write shows lines of a log.
func (w *Progress) Write(line []byte) (int, error) {
	w.Line(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

// Event shows an event.
func (w *Progress) Event(e protocol.Event) { w.Post(func() { w.show(e, time.Now()) }) }

func (w *Progress) show(e protocol.Event, now time.Time) {
	switch e.Kind {
	case protocol.EventMiss:
		if w.Counted {
			return
		}
	case protocol.EventCountdown:
		w.count(e, now)
		return
	case protocol.EventProfile:
		w.Display.Bar(profilingBar, e.Done, e.Total, strings.TrimSpace(e.Model+" "+e.Message))
		return
	case protocol.EventStage:
		w.stopCountdown()
	case protocol.EventWorkerWaits:
		delete(w.workers, e.Worker) // that it joined is shown again
	case protocol.EventWorkerJoined, protocol.EventWorkerLost:
		joined := e.Kind == protocol.EventWorkerJoined
		if w.workers[e.Worker] == joined {
			return // already shown
		}
		w.workers[e.Worker] = joined
	}
	w.Display.Line(eventLine(e))
}

// eventLine describes an event to people.
func eventLine(e protocol.Event) string {
	switch e.Kind {
	case protocol.EventStage:
		return strings.TrimSpace(e.Stage + "  " + stageMeaning[e.Stage])
	case protocol.EventLoad:
		if e.Code != protocol.OK {
			return fmt.Sprintf("loading %s failed: %s: %s", e.Path, e.Code, e.Message)
		}
		if e.Total == 1 {
			return "loaded " + e.Model
		}
		return "loaded " + CopiesText(protocol.CopyNames(strings.TrimSuffix(e.Model, "-1"), e.Total))
	case protocol.EventQuarantine:
		return fmt.Sprintf("%s is not served: %s", e.Model, e.Message)
	case protocol.EventWorkerJoined:
		return fmt.Sprintf("worker %s joined", e.Worker)
	case protocol.EventWorkerWaits:
		return fmt.Sprintf("worker %s is not used yet: %s", e.Worker, e.Message)
	case protocol.EventBlocked:
		if e.Message == "" {
			return e.Stage + "  nothing is missing any more"
		}
		return e.Stage + " waits: " + e.Message
	case protocol.EventWorkerLost:
		return strings.TrimSuffix(fmt.Sprintf("worker %s is gone: %s", e.Worker, e.Message), ": ")
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Kind, e.Model, e.Message))
}

var stageMeaning = map[string]string{
	protocol.Querying.String():       "asking the workers what they hold",
	protocol.AwaitingModels.String(): "waiting for models to be loaded",
	protocol.Loading.String():        "loading models",
	protocol.Profiling.String():      "measuring every model on every type of GPU",
	protocol.Active.String():         "requests are served; the set of models is fixed",
}

// count begins or stops the countdown.
func (w *Progress) count(e protocol.Event, now time.Time) {
	if e.LeftMS <= 0 {
		w.stopCountdown()
		return
	}
	total := time.Duration(e.LeftMS * float64(time.Millisecond))
	w.countdown = countdown{now.Add(total), total}
	if !w.moving {
		w.Display.Line(fmt.Sprintf("loading closes in %s unless another load comes", terminal.Duration(total)))
		return
	}
	w.drawCountdown(now)
}

func (w *Progress) stopCountdown() {
	w.countdown = countdown{}
	w.Display.Remove(countdownBar)
}

// drawCountdown updates the bar in whole seconds. The bar never becomes full: a stage
// event of the stack ends the countdown.
func (w *Progress) drawCountdown(now time.Time) {
	if w.countdown.end.IsZero() || !w.moving {
		return
	}
	total := int(math.Ceil(w.countdown.total.Seconds()))
	left := max(1, int(math.Ceil(w.countdown.end.Sub(now).Seconds())))
	w.Display.Bar(countdownBar, max(0, total-left), total, fmt.Sprintf("loading closes in %d s", left))
}
