package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"clockwork/pkg/lab/bench"
	"clockwork/pkg/lab/chaos"
)

// place is where everything is: the virtual environments, models, logs and results in dir,
// the servers' files in source.
type place struct{ dir, source, clockwork string }

func (p place) in(path ...string) string { return filepath.Join(append([]string{p.dir}, path...)...) }

func (p place) python(environment string) string { return p.in("env-"+environment, "bin", "python") }

// server is a running server.
type server struct {
	setting
	tuning
	place
	names  []string
	url    string
	inputs *bench.Inputs
	tag    string
	began  time.Time
	cmd    *exec.Cmd
	log    *os.File
	ended  chan struct{}
	// ready is how long it took until the first and the last model answered.
	ready time.Duration
}

// patience bounds how long a server may take to start.
const patience = 3 * time.Minute

// start starts a server and waits until all its models answer.
func start(ctx context.Context, p place, s setting, many bool) (*server, error) {
	v := &server{
		setting: s, tuning: s.tuned(many), place: p, names: names(many), tag: fmt.Sprintf("%s-%d", s.name, time.Now().UnixNano()),
		inputs: bench.NewInputs(sample()), ended: make(chan struct{}),
	}
	if err := os.MkdirAll(p.in("run", s.name), 0o755); err != nil {
		return nil, err
	}
	if err := v.launch(ctx); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	if err := v.await(ctx); err != nil {
		v.stop()
		return nil, fmt.Errorf("start %s: %w (its log: %s)", s.name, err, v.log.Name())
	}
	return v, nil
}

// launch starts the server's process.
func (v *server) launch(ctx context.Context) (err error) {
	command, err := kinds[v.Kind](ctx, v)
	if err != nil {
		return err
	}
	if v.log, err = os.Create(v.in("run", v.name, "log")); err != nil {
		return err
	}
	v.cmd = command
	v.cmd.Dir, v.cmd.Stdout, v.cmd.Stderr = v.in("run", v.name), v.log, v.log
	v.cmd.Env = append(v.environment(), v.cmd.Env...)
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	v.began = time.Now()
	if err := v.cmd.Start(); err != nil {
		return err
	}
	go func() { _ = v.cmd.Wait(); close(v.ended) }() // how it ended stands in its log
	return nil
}

// environment is what all servers' files read. Libraries that compute may use one thread:
// the executing one.
func (v *server) environment() []string {
	env := append(os.Environ(), tagName+"="+v.tag, "PEERS_MODELS="+v.in("models"), "PEERS_NAMES="+strings.Join(v.names, ","),
		"PYTHONPATH="+filepath.Join(v.source, "servers"), "HOME="+v.in("run", v.name), "OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1",
		"DO_NOT_TRACK=1", "BENTOML_DO_NOT_TRACK=1", "RAY_USAGE_STATS_ENABLED=0")
	for name, value := range v.Env {
		env = append(env, name+"="+value)
	}
	return env
}

// await waits until the first and the last model answer, and takes the time; then until all
// do.
func (v *server) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, name := range []string{v.names[0], v.names[len(v.names)-1]} {
		if err := v.awaitModel(ctx, name); err != nil {
			return err
		}
	}
	v.ready = time.Since(v.began)
	for _, name := range v.names {
		if err := v.awaitModel(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (v *server) awaitModel(ctx context.Context, name string) error {
	for {
		err := ask(ctx, v.Protocol, v.url, name, v.inputs)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-v.ended:
			return errors.New("it ended")
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (v *server) family() []int { return family(v.cmd.Process.Pid, v.tag) }

// freeze stops all processes of a server, so that only one server is awake; thaw lets them go
// on.
func (v *server) freeze() { v.signal(syscall.SIGSTOP) }
func (v *server) thaw()   { v.signal(syscall.SIGCONT) }

func (v *server) signal(s syscall.Signal) {
	for _, pid := range v.family() {
		_ = syscall.Kill(pid, s) // it may have ended
	}
}

// stop ends the server and what it started: politely, then not.
func (v *server) stop() {
	v.thaw()
	polite := syscall.SIGTERM
	if v.Kind == "ray" {
		polite = syscall.SIGINT // as its driver's Ctrl-C
	}
	_ = v.cmd.Process.Signal(polite)
	select {
	case <-v.ended:
	case <-time.After(12 * time.Second):
	}
	v.stopFamily()
	_ = v.log.Close()
}

// stopFamily ends what is left of a server.
func (v *server) stopFamily() {
	const tries, gentle = 20, 3
	for try := 0; len(v.family()) > 0 && try < tries; try++ {
		end := syscall.SIGTERM
		if try > gentle {
			end = syscall.SIGKILL
		}
		v.signal(end)
		time.Sleep(250 * time.Millisecond)
	}
}

// freezable reports whether the server may stand still between its turns: the leases and
// heartbeats of the others would end, and they are started for each turn.
func (s setting) freezable() bool { return s.Kind != "clockwork" && s.Kind != "ray" }

// address returns a free one on this machine, and its port.
func address() (host, port string, err error) {
	host, err = chaos.FreeAddress()
	return host, host[strings.LastIndexByte(host, ':')+1:], err
}
