package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"github.com/nats-io/nats.go"
)

// The ring sends what the live path sends and nothing else:
//
//	client --payload--> door --64 B--> scheduler --64 B--> door --payload--> worker
//	                                       +------128 B-------------------> worker
//	scheduler <--192 B-- worker --256 B--> door --256 B--> client
//
// and for policy echo only client -> door -> scheduler -> door -> client. The
// reply's subject travels in the small messages, 0-padded.
const (
	smallSize  = 64
	actionSize = 128
	resultSize = 192
	outputSize = 320
)

// openRing opens a broker and the ring's stations.
func openRing(o options, policy string, s size) (*side, error) {
	x := &side{name: "ring", subjects: []string{"ring.infer"}, body: inferBody(s.bytes)}
	b, err := openBroker(o)
	if err != nil {
		return nil, err
	}
	x.stops = append(x.stops, b.stop)
	for _, station := range []string{"door-" + policy, "scheduler-" + policy, "worker"} {
		stop, err := b.station(o, station)
		if err != nil {
			x.close()
			return nil, err
		}
		x.stops = append(x.stops, stop)
	}
	nc, err := b.connect()
	if err != nil {
		x.close()
		return nil, err
	}
	x.stops = append(x.stops, nc.Close)
	return x, x.open(nc)
}

// station starts a station in this process or in one of its own.
func (b *benchBroker) station(o options, name string) (stop func(), err error) {
	if o.binary == "" {
		return startStation(name, b.connect)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return startProcess(exec.Command(self, "-station", name, "-nats", b.url), "up")
}

// runStation runs a station as a process of its own.
func runStation(name, url string) error {
	stop, err := startStation(name, func() (*nats.Conn, error) { return nats.Connect(url) })
	if err != nil {
		return err
	}
	defer stop()
	fmt.Println("up")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, os.Interrupt, syscall.SIGTERM)
	<-ended
	return nil
}

// startStation subscribes one station, on a connection for small messages and
// one for payloads, as Clockwork's services do.
func startStation(name string, connect func() (*nats.Conn, error)) (stop func(), err error) {
	small, err := connect()
	if err != nil {
		return nil, err
	}
	large, err := connect()
	if err != nil {
		return nil, err
	}
	kind, policy, _ := strings.Cut(name, "-")
	switch kind {
	case "door":
		err = door(small, large, policy)
	case "scheduler":
		err = schedulerStation(small, policy)
	case "worker":
		err = workerStation(small, large)
	default:
		err = fmt.Errorf("no station is called %q", name)
	}
	if err == nil {
		err = small.Flush()
	}
	if err == nil {
		err = large.Flush()
	}
	return func() { small.Close(); large.Close() }, err
}

func door(small, large *nats.Conn, policy string) error {
	// The payload is kept in a map until the scheduler answers, as in a front door;
	// each subscription has one goroutine.
	var keep keeper
	return subscribeAll(
		subscription{large, "ring.infer", func(m *nats.Msg) {
			keep.put(m.Reply, m.Data)
			send(small, "ring.submit", padded(m.Reply, smallSize))
		}},
		subscription{small, "ring.dispatch", func(m *nats.Msg) {
			reply := unpadded(m.Data)
			payload := keep.take(reply)
			if policy == "echo" {
				send(small, reply, make([]byte, outputSize))
				return
			}
			// The last bytes of the input name the recipient of the reply.
			send(large, "ring.input", append(payload[:len(payload):len(payload)], padded(reply, smallSize)...))
		}},
		subscription{large, "ring.output", func(m *nats.Msg) {
			send(small, unpadded(m.Data[:smallSize]), m.Data)
		}},
	)
}

func schedulerStation(small *nats.Conn, policy string) error {
	return subscribeAll(
		subscription{small, "ring.submit", func(m *nats.Msg) {
			if policy != "echo" {
				send(small, "ring.action", make([]byte, actionSize))
			}
			send(small, "ring.dispatch", m.Data)
		}},
		subscription{small, "ring.result", func(*nats.Msg) {}},
	)
}

func workerStation(small, large *nats.Conn) error {
	return subscribeAll(
		subscription{small, "ring.action", func(*nats.Msg) {}},
		subscription{large, "ring.input", func(m *nats.Msg) {
			output := make([]byte, outputSize)
			copy(output, m.Data[len(m.Data)-smallSize:])
			send(large, "ring.output", output)
			send(small, "ring.result", make([]byte, resultSize))
		}},
	)
}

type subscription struct {
	nc      *nats.Conn
	subject string
	handle  nats.MsgHandler
}

func subscribeAll(subs ...subscription) error {
	for _, s := range subs {
		sub, err := s.nc.Subscribe(s.subject, s.handle)
		if err != nil {
			return err
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil {
			return err
		}
	}
	return nil
}

func send(nc *nats.Conn, subject string, body []byte) {
	if err := nc.Publish(subject, body); err != nil {
		panic(fmt.Sprintf("publish %s: %v", subject, err)) // the broker is our own
	}
}

func padded(s string, n int) []byte {
	out := make([]byte, n)
	copy(out, s)
	return out
}

func unpadded(b []byte) string { return strings.TrimRight(string(b), "\x00") }
