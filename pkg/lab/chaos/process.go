package chaos

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Process is one process of a stack.
type Process struct {
	Args []string
	cmd  *exec.Cmd
	log  logBuffer
	done chan struct{}
	err  error // of Wait, once done is closed
}

// maxLog bounds the kept output of a process, in bytes.
const maxLog = 1 << 20

// logBuffer keeps the last maxLog bytes of a process's output.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, b...)
	if over := len(l.text) - maxLog; over > 0 {
		l.text = append(l.text[:0], l.text[over:]...)
	}
	return len(b), nil
}

// Start starts a binary. The caller must end the process.
func Start(binary string, args ...string) (*Process, error) {
	p := &Process{Args: args, cmd: exec.Command(binary, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	p.cmd.Env = []string{"HOME=" + os.Getenv("HOME"), "PATH=" + os.Getenv("PATH")}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", args[0], err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Log returns the last output of the process.
func (p *Process) Log() string {
	p.log.mu.Lock()
	defer p.log.mu.Unlock()
	return string(p.log.text)
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Stopped reports whether the process is stopped (SIGSTOP), according to /proc: each of its
// threads is, which takes a moment where they wait for a processor.
func (p *Process) Stopped() bool {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.cmd.Process.Pid))
	for _, thread := range threads {
		stat, err := os.ReadFile(thread)
		if _, after, _ := strings.Cut(string(stat), ") "); err == nil && !strings.HasPrefix(after, "T") {
			return false
		}
	}
	return err == nil && len(threads) > 0
}

// Kill kills the process and waits until it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// ErrRuns means that a process did not end in time.
var ErrRuns = errors.New("the process does not end")

// Terminate sends SIGTERM and returns the exit code.
func (p *Process) Terminate(within time.Duration) (int, error) {
	_ = p.Signal(syscall.SIGTERM) // it may have ended
	return p.Wait(within)
}

// Wait waits for the end of the process and returns the exit code.
func (p *Process) Wait(within time.Duration) (int, error) {
	select {
	case <-p.done:
	case <-time.After(within):
		return 0, fmt.Errorf("%v: %w", p.Args, ErrRuns)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return exit.ExitCode(), nil
	}
	return 0, p.err
}

// Resident returns the resident memory of the process in bytes, according to
// /proc.
func (p *Process) Resident() (int64, error) {
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("read the memory of %s: %w", p.Args[0], err)
	}
	var total, resident int64
	if _, err := fmt.Sscan(string(statm), &total, &resident); err != nil {
		return 0, fmt.Errorf("read the memory of %s: %w", p.Args[0], err)
	}
	return resident * int64(os.Getpagesize()), nil
}
