package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/backend/emulated"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
	"clockwork/services/controller"
	"clockwork/services/profiler"
	"clockwork/services/scheduler"
	"clockwork/services/worker"
)

// gpus is the number of emulated GPUs, and of copies of the model, that share
// the load: policy simple has three outstanding requests at each.
const gpus = 96

// loadIdle is short because no other model is loaded.
const loadIdle = 300 * time.Millisecond

// openLive starts a broker and the whole stack, loads the model and waits until
// it is served.
func openLive(o options, policy string, s size) (*side, error) {
	x := &side{name: "live path", body: inferBody(s.bytes)}
	b, err := openBroker(o)
	if err != nil {
		return nil, err
	}
	x.stops = append(x.stops, b.stop)
	stop, err := b.services(o, policy)
	x.stops = append(x.stops, stop)
	var nc *nats.Conn
	if err == nil {
		nc, err = b.connect()
	}
	if err == nil {
		err = x.activate(nc, s)
	}
	if err != nil {
		x.close()
		return nil, err
	}
	return x, nil
}

// activate loads the model and waits for the scheduler.
func (x *side) activate(nc *nats.Conn, s size) (err error) {
	x.stops = append(x.stops, nc.Close)
	if x.models, err = loaded(nc, s); err != nil {
		return err
	}
	for _, name := range x.models {
		x.subjects = append(x.subjects, protocol.Subjects{Prefix: protocol.DefaultPrefix}.Infer(name))
	}
	return x.open(nc)
}

// services starts all services, in this process or each in its own.
func (b *benchBroker) services(o options, policy string) (stop func(), err error) {
	if o.binary == "" {
		return b.inProcess(policy)
	}
	var stops []func()
	stop = func() {
		for i := len(stops) - 1; i >= 0; i-- {
			stops[i]()
		}
	}
	for _, args := range [][]string{
		{"controller", "--load-idle", loadIdle.String()},
		{"profiler"},
		{"scheduler", "--policy", policy},
		{"worker", "--name", "w1", "--gpus", fmt.Sprint(gpus)},
	} {
		cmd := exec.Command(o.binary, append(args, "--nats", b.url, "--log-level", "error")...)
		end, err := startProcess(cmd, "")
		if err != nil {
			return stop, err
		}
		stops = append(stops, end)
	}
	return stop, nil
}

type service interface {
	Run(ctx context.Context) error
}

func (b *benchBroker) inProcess(policy string) (stop func(), err error) {
	broker := bus.Config{InProcess: b.server, Prefix: protocol.DefaultPrefix, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))}
	config := controller.DefaultConfig()
	config.LoadIdle = loadIdle
	scheduling := scheduler.DefaultConfig()
	scheduling.Policy = policy
	working := worker.DefaultConfig("w1", func([]string) (backend.Backend, error) {
		options := emulated.Defaults("w1")
		options.GPUs = gpus
		return emulated.New(options)
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	start := func(s service, failed error) {
		if err = cmp.Or(err, failed); err == nil {
			running.Go(func() {
				if err := s.Run(ctx); err != nil {
					fmt.Fprintln(os.Stderr, "busbench: service failed:", err)
				}
			})
		}
	}
	c, failed := controller.New(config, broker)
	start(c, failed)
	p, failed := profiler.New(profiler.DefaultConfig(), broker)
	start(p, failed)
	d, failed := scheduler.New(scheduling, broker)
	start(d, failed)
	w, failed := worker.New(working, broker)
	start(w, failed)
	return func() { cancel(); running.Wait() }, err
}

// startProcess starts a command and, unless ready is empty, waits until it has
// printed a line that starts with ready.
func startProcess(cmd *exec.Cmd, ready string) (stop func(), err error) {
	cmd.Stderr = os.Stderr
	printed := &firstLine{line: make(chan string, 1)}
	cmd.Stdout = printed
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(os.Interrupt) // the process may have ended already
		_ = cmd.Wait()
	}
	if ready == "" {
		return stop, nil
	}
	select {
	case line := <-printed.line:
		if strings.HasPrefix(line, ready) {
			return stop, nil
		}
		err = fmt.Errorf("%s printed %q", cmd.Path, line)
	case <-time.After(patience):
		err = fmt.Errorf("%s printed nothing", cmd.Path)
	}
	stop()
	return nil, err
}

// firstLine captures the first line written.
type firstLine struct {
	text strings.Builder
	line chan string
	done bool
}

func (f *firstLine) Write(b []byte) (int, error) {
	if f.done {
		return len(b), nil
	}
	f.text.Write(b)
	if line, _, whole := strings.Cut(f.text.String(), "\n"); whole {
		f.done = true
		f.line <- line
	}
	return len(b), nil
}
