package main

import (
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/lab/chaos"
)

// benchBroker is the broker of one side: embedded, or a separate process.
type benchBroker struct {
	server *server.Server
	url    string
	stop   func()
}

func openBroker(o options) (*benchBroker, error) {
	dir, err := os.MkdirTemp("", "busbench-")
	if err != nil {
		return nil, err
	}
	b := &benchBroker{}
	if o.binary == "" {
		if b.server, err = bus.StartServer(bus.ServerConfig{DontListen: true, DataDir: dir}); err != nil {
			return nil, err
		}
		b.stop = func() { bus.StopServer(b.server); os.RemoveAll(dir) }
		return b, nil
	}
	address, err := chaos.FreeAddress()
	if err != nil {
		return nil, err
	}
	b.url = "nats://" + address
	cmd := exec.Command(o.binary, "nats", "--listen", address, "--data", dir, "--log-level", "error")
	stop, err := startProcess(cmd, "")
	if err != nil {
		return nil, err
	}
	b.stop = func() { stop(); os.RemoveAll(dir) }
	return b, b.await()
}

// await waits until the broker accepts connections.
func (b *benchBroker) await() error {
	for end := time.Now().Add(patience); ; {
		nc, err := b.connect()
		if err == nil {
			nc.Close()
			return nil
		}
		if time.Now().After(end) {
			b.stop()
			return fmt.Errorf("broker not up: %w", err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (b *benchBroker) connect() (*nats.Conn, error) {
	if b.server != nil {
		return nats.Connect("", nats.InProcessServer(b.server))
	}
	return nats.Connect(b.url)
}

// keeper stores payloads by reply subject.
type keeper struct {
	mu   sync.Mutex
	held map[string][]byte
}

func (k *keeper) put(reply string, payload []byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		k.held = map[string][]byte{}
	}
	k.held[reply] = payload
}

func (k *keeper) take(reply string) []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	payload := k.held[reply]
	delete(k.held, reply)
	return payload
}
