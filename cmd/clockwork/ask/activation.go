package ask

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

// pollState is how often a command that waits for activation asks for the state. Events
// show each change at once; the state is for events that were lost, or may not be read.
const pollState = time.Second

// Serves reports whether a request sent now would be executed.
func Serves(s *protocol.StackState) bool { return s.Serving().Missing() == "" }

// AwaitActive shows what the stack does until it serves, or until ctx ends. s is its
// present state. done is asked with every state that was read, and ends the wait with
// its result if that is not nil: a command may know that its wait is in vain.
func AwaitActive(ctx context.Context, stack *client.Client, con *cli.Console, s *protocol.StackState, done func(*protocol.StackState) error) error {
	if Serves(s) {
		return nil
	}
	w := openWaiting(con)
	defer w.bars.Stop()
	// Without events, as for a key that may not read them, the state alone is shown.
	if stop, err := stack.Events(w.event); err == nil {
		defer stop()
	}
	every := time.NewTicker(pollState)
	defer every.Stop()
	for {
		if err := done(s); err != nil {
			return err
		}
		if w.state(s); Serves(s) {
			return nil
		}
		select {
		case <-ctx.Done():
			return gaveUp(ctx, s)
		case <-w.changed:
		case <-every.C:
		}
		if now, refusal := stack.Brief(ctx); refusal == nil {
			s = now // otherwise the controller is gone for a moment
		}
	}
}

// gaveUp says why a wait for activation ended without it.
func gaveUp(ctx context.Context, s *protocol.StackState) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return cli.Interrupted(ctx, ctx.Err())
	}
	return protocol.Errorf(protocol.BufferTimeout, "the stack does not serve yet; %s", WaitsFor(s))
}

// WaitsFor says in one line what a stack that does not serve is waiting for.
func WaitsFor(s *protocol.StackState) string {
	if s.Stage != protocol.Active && s.Blocked != "" {
		return s.Stage.String() + ": " + s.Blocked
	}
	switch s.Stage {
	case protocol.Querying:
		return "QUERYING: it asks the workers what they hold"
	case protocol.AwaitingModels:
		return "AWAITING_MODELS: nothing was loaded yet; clockwork load PATH loads a model"
	case protocol.Loading:
		if s.CountdownMS == nil {
			return "LOADING: a load is not done yet"
		}
		left := time.Duration(*s.CountdownMS * float64(time.Millisecond))
		return fmt.Sprintf("LOADING: loading closes in %s unless another load comes", terminal.Duration(left.Round(time.Second/10)))
	case protocol.Profiling:
		return "PROFILING: it measures every model"
	}
	return "ACTIVE, but " + s.Serving().Missing() + "; clockwork state says more"
}

// waiting shows a stack on its way to ACTIVE.
type waiting struct {
	bars    *cli.Progress
	changed chan struct{}

	mu       sync.Mutex
	shown    string // the latest stage that was shown
	counting bool
}

// openWaiting begins to show: on the terminal with bars, and elsewhere in lines on the
// standard error, so that the output stays what was asked for.
func openWaiting(con *cli.Console) *waiting {
	to := con
	if !con.TTY {
		other := *con
		other.Display = terminal.New(con.Err, false, nil)
		to = &other
	}
	return &waiting{bars: cli.StartProgress(to), changed: make(chan struct{}, 1)}
}

// event shows an event that concerns the startup.
func (w *waiting) event(e protocol.Event) {
	switch e.Kind {
	case protocol.EventStage:
		w.stage(e.Stage)
		select {
		case w.changed <- struct{}{}:
		default:
		}
		return
	case protocol.EventCountdown:
		w.mu.Lock()
		w.counting = e.LeftMS > 0
		w.mu.Unlock()
	case protocol.EventProfile, protocol.EventQuarantine, protocol.EventWorkerLost, protocol.EventWorkerWaits, protocol.EventBlocked:
	case protocol.EventLoad:
		if e.Code == protocol.OK {
			return // whoever asked for it says so
		}
	default:
		return
	}
	w.bars.Event(e)
}

// state shows what no event has said.
func (w *waiting) state(s *protocol.StackState) {
	w.stage(s.Stage.String())
	w.mu.Lock()
	missed := s.CountdownMS != nil && *s.CountdownMS > 0 && !w.counting
	w.counting = w.counting || missed
	w.mu.Unlock()
	if missed {
		w.bars.Event(protocol.Event{Kind: protocol.EventCountdown, LeftMS: *s.CountdownMS})
	}
}

// stage shows a stage once.
func (w *waiting) stage(name string) {
	w.mu.Lock()
	again := name == w.shown
	w.shown = name
	if !again {
		w.counting = false
	}
	w.mu.Unlock()
	if !again {
		w.bars.Event(protocol.Event{Kind: protocol.EventStage, Stage: name})
	}
}
