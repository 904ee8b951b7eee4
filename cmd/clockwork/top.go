package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/term"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/top"
)

type topCommand struct {
	Once     bool          `env:"-" help:"Print what is to be seen once, as plain text, and end; so it does where there is no terminal."`
	Interval time.Duration `default:"2s" env:"-" from:"1s" to:"24h" help:"Without a terminal: the pause before a snapshot, in which services count; at least 1s."`
	Count    int           `default:"1" env:"-" help:"Without a terminal: how many snapshots, 0 for no end."`
}

// Help describes the display and the requirements.
func (k *topCommand) Help() string {
	return "Any connection to the broker will do. Services count and tell only while somebody watches; rates are of the last 5 to 10 s.\n\n" +
		"Keys: m models, w GPUs, r misses, s sort, p pause, ? all of them, q quit.\n\n" +
		"  clockwork top\n  clockwork top --once\n  clockwork top --json --interval 10s --count 0"
}

// Run shows the stack until the user quits, or prints snapshots.
func (k *topCommand) Run(c *cli.Flags, con *cli.Console) error {
	if k.Count < 0 {
		return cli.Usagef("--count is %d; it must not be negative", k.Count)
	}
	ctx, cancel := cli.Interruptible()
	defer cancel()
	w := &topWatch{}
	stack, err := c.Connect(w.options()...)
	if err != nil {
		return err
	}
	defer stack.Close()
	stop, err := w.start(stack)
	if err != nil {
		return err
	}
	defer stop()
	if con.TTY && !k.Once && term.IsTerminal(stdin()) {
		return showTop(ctx, w)
	}
	return k.snapshots(ctx, c, con, stack, w)
}

// snapshots prints snapshots, each after a pause.
func (k *topCommand) snapshots(ctx context.Context, c *cli.Flags, con *cli.Console, stack *client.Client, w *topWatch) error {
	every := time.NewTicker(k.Interval)
	defer every.Stop()
	for i := 0; k.Count == 0 || i < k.Count; i++ {
		select {
		case <-ctx.Done():
			return nil // interrupted
		case <-every.C:
		}
		now := time.Now()
		err := w.tick(now)
		if err == nil {
			err = w.anybody(ctx, stack)
		}
		if err == nil {
			w.look(func(s *top.State) { err = k.snapshot(c, con, s, now, i > 0) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (k *topCommand) snapshot(c *cli.Flags, con *cli.Console, s *top.State, now time.Time, next bool) error {
	if c.JSON {
		return cli.PrintJSON(con.Out, s.Summary(now))
	}
	width := con.Display.Width()
	if width == 0 {
		width = 80
	}
	text := s.Text(width, now)
	if next {
		text = "\n" + text
	}
	_, err := fmt.Fprint(con.Out, text)
	return err
}

// topWatch collects what a stack publishes. Callbacks of the connection write to it, one
// at a time; look reads.
type topWatch struct {
	mu     sync.Mutex // guards the fields below
	state  top.State
	paused bool  // updates are discarded
	denied error // the broker does not permit watching with this key
}

// options make the connection survive the loss of the broker, and report the loss to the
// state.
func (w *topWatch) options() []nats.Option {
	lost := func(why string) { w.look(func(s *top.State) { s.Broker(why, time.Now()) }) }
	return []nats.Option{
		nats.MaxReconnects(-1),
		nats.ReconnectWait(250 * time.Millisecond),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err == nil {
				err = nats.ErrDisconnected
			}
			lost(err.Error())
		}),
		nats.ReconnectHandler(func(*nats.Conn) { lost("") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if denied := mayWatch(err); denied != nil {
				w.look(func(*top.State) { w.denied = denied })
			}
		}),
	}
}

// start makes the stack publish statistics and subscribes to them and to events.
func (w *topWatch) start(stack *client.Client) (stop func(), err error) {
	unwatch, err := stack.Watch(func(kind protocol.ServiceKind, id string, f protocol.LiveStats) {
		w.take(func(s *top.State, now time.Time) { s.OnLiveStats(kind, id, f, now) })
	})
	if err != nil {
		return nil, err
	}
	deaf, err := stack.Events(func(e protocol.Event) {
		w.take(func(s *top.State, now time.Time) { s.Event(e, now) })
	})
	if err != nil {
		unwatch()
		return nil, err
	}
	return func() { deaf(); unwatch() }, nil
}

// take calls f to record an update, unless paused.
func (w *topWatch) take(f func(*top.State, time.Time)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.paused {
		f(&w.state, time.Now())
	}
}

// tick is called once a second; its error says that this key may not watch.
func (w *topWatch) tick(now time.Time) error {
	w.take(func(s *top.State, _ time.Time) { s.Tick(now) })
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.denied
}

// anybody returns why there is no stack to be seen: nobody has published statistics, and
// nobody answers for the stack, or another program does.
func (w *topWatch) anybody(ctx context.Context, stack *client.Client) error {
	var empty bool
	w.look(func(s *top.State) { empty = s.Empty() })
	if !empty {
		return nil
	}
	if _, refusal := stack.Brief(ctx); refusal != nil && ctx.Err() == nil {
		return refusal
	}
	return nil
}

func (w *topWatch) pause(paused bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.paused = paused
}

func (w *topWatch) look(f func(*top.State)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.state)
}
