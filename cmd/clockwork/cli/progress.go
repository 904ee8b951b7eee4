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

// Progress shows the events of a stack as they come. Its goroutine alone touches
// the display; whoever else has something to show posts it.
type Progress struct {
	Display *terminal.Display
	// moving: the display can show a countdown; else it is one line.
	moving bool
	posts  chan func()
	stop   chan struct{}
	done   chan struct{}

	// Owned by the goroutine.
	countdown countdown
	workers   map[string]bool
	// Counted: whoever sends counts the misses, and none is shown.
	Counted bool
}

// countdown is when loading closes; a zero end is none.
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
		var tick <-chan time.Time // a stack that does not count down wakes nobody
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
			_ = w.Display.Done() // a closed terminal is no failure of the stack
			return
		}
	}
}

// Stop ends the watching; what is posted later is dropped.
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
	case protocol.EventWorkerJoined, protocol.EventWorkerLost:
		joined := e.Kind == protocol.EventWorkerJoined
		if w.workers[e.Worker] == joined {
			return // it was said already
		}
		w.workers[e.Worker] = joined
	}
	w.Display.Line(eventLine(e))
}

// eventLine says what happened to a person.
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

// drawCountdown fills the bar in whole seconds. It never becomes full: the end
// is the stack's to say.
func (w *Progress) drawCountdown(now time.Time) {
	if w.countdown.end.IsZero() || !w.moving {
		return
	}
	total := int(math.Ceil(w.countdown.total.Seconds()))
	left := max(1, int(math.Ceil(w.countdown.end.Sub(now).Seconds())))
	w.Display.Bar(countdownBar, max(0, total-left), total, fmt.Sprintf("loading closes in %d s", left))
}
