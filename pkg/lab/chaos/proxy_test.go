package chaos

import (
	"io"
	"net"
	"testing"
	"time"
)

// echo answers with whatever it is sent.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	return l.Addr().String()
}

func TestACutProxyKeepsWhatItIsSent(t *testing.T) {
	p, err := NewProxy(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	say := func(word string) {
		t.Helper()
		if _, err := c.Write([]byte(word)); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(word string, within time.Duration) error {
		got := make([]byte, len(word))
		_ = c.SetReadDeadline(time.Now().Add(within))
		_, err := io.ReadFull(c, got)
		if err == nil && string(got) != word {
			t.Fatalf("heard %q, not %q", got, word)
		}
		return err
	}
	say("one")
	if err := hear("one", 10*time.Second); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	say("two")
	if hear("two", 200*time.Millisecond) == nil {
		t.Fatal("a cut proxy let something through")
	}
	p.Heal()
	if err := hear("two", 10*time.Second); err != nil {
		t.Fatal(err)
	}
}

// TestAProxyEndsWhenItsServerEnds, as a broker that is killed.
func TestAProxyEndsWhenItsServerEnds(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err == nil {
			_ = c.Close()
		}
	}()
	p, err := NewProxy(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("%v, want the end", err)
	}
	_ = l.Close()
}
