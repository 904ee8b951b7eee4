package simtime

import "time"

// Link is a process's connection to the broker. It breaks and is made again; the client
// library of the process may notice the break in between, or only afterwards.
type Link struct {
	Connected bool // as the broker sees it
	Noticed   bool // the client library takes itself to be connected

	session    int // one more with each break, and when the connection is made again
	reconnects uint64
	out, in    Connection
}

// NewLink returns a connection that stands.
func NewLink() Link { return Link{Connected: true, Noticed: true} }

// Seen is how the connection stands as the client library takes it, and how often it was made
// again.
func (l *Link) Seen() (up bool, reconnects uint64) { return l.Noticed, l.reconnects }

// Publish sends something, in order. What is under way when the connection breaks is lost.
func (l *Link) Publish(clock *Clock, arrives, lost func()) {
	if !l.Connected {
		lost()
		return
	}
	session := l.session
	l.out.Send(clock, func() {
		if l.session == session {
			arrives()
		} else {
			lost()
		}
	})
}

// Receive has something arrive, in order, unless the connection breaks before.
func (l *Link) Receive(clock *Clock, arrives func()) {
	session := l.session
	l.in.Send(clock, func() {
		if l.Connected && l.session == session {
			arrives()
		}
	})
}

// Lose breaks the connection for good: its process ends.
func (l *Link) Lose() {
	l.Connected = false
	l.session++
}

// Break breaks the connection of a process that lives. Its client library notices that after a
// while, unless the connection is made again before.
func (l *Link) Break(of *Process) {
	l.Lose()
	session := l.session
	of.Clock.After(of.Clock.UpTo(300*time.Millisecond), of.On(func() { l.Noticed = l.Noticed && l.session != session }))
}

// Restore makes a connection that broke again.
func (l *Link) Restore() {
	l.Connected, l.Noticed = true, true
	l.session++
	l.reconnects++
}
