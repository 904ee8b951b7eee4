package main

import (
	"context"
	"errors"
	"os"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/top"
)

func stdin() int { return int(os.Stdin.Fd()) }

// mayWatch returns the error for a key that may not watch, nil for any other error.
func mayWatch(err error) error {
	if errors.Is(err, nats.ErrPermissionViolation) {
		return protocol.Errorf(protocol.PermissionDenied, "this key may not watch the stack; the operator's may (--nkey operator.nk)")
	}
	return nil
}

// topScreen is clockwork top on a terminal. It draws once a second and at each key:
// services publish once a second as well.
type topScreen struct {
	watch *topWatch
	view  top.View
	err   error
}

// second is a tick.
type second time.Time

func after(d time.Duration) tea.Cmd {
	return tea.Tick(d, func(t time.Time) tea.Msg { return second(t) })
}

// showTop shows the stack on the terminal until the user quits.
func showTop(ctx context.Context, w *topWatch) error {
	s := &topScreen{watch: w, view: top.View{Width: 80, Height: 24, Color: true}}
	_, err := tea.NewProgram(s, tea.WithContext(ctx), tea.WithoutSignalHandler()).Run()
	if err != nil && ctx.Err() == nil { // otherwise it was interrupted
		return err
	}
	return s.err
}

// Init implements tea.Model, as Update and View do.
func (s *topScreen) Init() tea.Cmd { return after(100 * time.Millisecond) }

// Update handles a key, a new size of the terminal, or a tick.
func (s *topScreen) Update(m tea.Msg) (tea.Model, tea.Cmd) {
	switch m := m.(type) {
	case tea.WindowSizeMsg:
		s.view.Width, s.view.Height = m.Width, m.Height
		return s, tea.ClearScreen // terminals differ in how they reflow lines
	case tea.KeyPressMsg:
		if s.view.Key(m.String()) {
			return s, tea.Quit
		}
		s.watch.pause(s.view.Paused)
	case second:
		if s.err = s.watch.tick(time.Time(m)); s.err != nil {
			return s, tea.Quit
		}
		return s, after(time.Second)
	}
	return s, nil
}

// View draws the screen.
func (s *topScreen) View() tea.View {
	var v tea.View
	s.watch.look(func(state *top.State) { v = tea.NewView(state.Draw(&s.view, time.Now())) })
	v.AltScreen = true
	return v
}
