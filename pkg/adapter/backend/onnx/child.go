//go:build linux && !static

package onnx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

// Limits of a checker, in addition to its wall time: CPU seconds, open files, and
// address space as a fixed number of bytes plus a multiple of the model's size. It may
// not write to files. The number of processes is not limited this way, since that limit
// counts all processes of the user; see sandbox.
const (
	checkerCPU    = 120
	checkerFiles  = 64
	checkerMemory = 4 << 30
	checkerTimes  = 6
)

// checkerOutput is the checker's path of the pipe for the optimised graph.
const checkerOutput = "/proc/self/fd/3"

// drainTime is how long reading the rest of a graph may take after its writer has ended.
// It takes time only if another process still holds the pipe open.
const drainTime = time.Second

// errGraphSize: the checker wrote more than the limit.
var errGraphSize = errors.New("the optimised graph is too large")

// optimizeInChild runs a checker on a model and returns the optimised graph, of at most
// limit bytes. If the child fails in any way, the model counts as corrupt.
func (b *Backend) optimizeInChild(ctx context.Context, model []byte, limit int64, late deadline) (*region, *protocol.Error) {
	// Pdeathsig kills the child when the thread that started it ends, so that thread
	// must live until the child has ended.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	timed, cancel := late.context(ctx)
	defer cancel()
	c := &child{size: uint64(len(model))}
	graph, failure := collect(limit, cancel, func(to *os.File) error {
		if c.notStarted = c.start(timed, b.options, to); c.notStarted != nil {
			return nil
		}
		c.ended = c.feed(model)
		return nil
	})
	refusal := c.verdict(ctx, failure, limit, late)
	if refusal != nil && graph != nil {
		graph.close()
		graph = nil
	}
	return graph, refusal
}

// child is a running checker.
type child struct {
	cmd        *exec.Cmd
	in         io.WriteCloser
	stderr     opening
	size       uint64      // of the model
	release    func() bool // ends the wait for the context's end
	notStarted error
	ended      error
}

// verdict translates how the child ended into an error about the model.
func (c *child) verdict(ctx context.Context, failure error, limit int64, late deadline) *protocol.Error {
	switch {
	case c.notStarted != nil:
		return protocol.Errorf(protocol.BackendError, "start the model checker: %v", c.notStarted)
	case ctx.Err() != nil:
		return protocol.Errorf(protocol.BackendError, "the model check was cancelled")
	case errors.Is(failure, errGraphSize):
		return tooLargeGraph(limit)
	case c.ended != nil && killed(c.ended) && !time.Now().Before(late.until):
		return protocol.Errorf(protocol.ModelCorrupt, "the model check was killed: it did not end within %v", late.takes)
	case c.ended != nil && killed(c.ended) && c.cmd.ProcessState.UserTime() < checkerCPU*time.Second:
		return protocol.Errorf(protocol.NoMemory, "the model check ended: %s", endOf(c.ended, ""))
	case c.ended != nil:
		reason, _, _ := strings.Cut(c.stderr.String(), "\n") // a stack trace may follow
		code, message, _ := strings.Cut(reason, ": ")
		if code := protocol.Code(code); code == protocol.ModelCorrupt || code == protocol.UnsupportedModel {
			return protocol.Errorf(code, "%s", tidy(message))
		}
		return protocol.Errorf(protocol.ModelCorrupt, "the model check failed: %v %s", c.ended, tidy(reason))
	case failure != nil:
		return protocol.Errorf(protocol.ModelCorrupt, "the model check wrote no graph: %v", failure)
	}
	return nil
}

func tooLargeGraph(limit int64) *protocol.Error {
	refusal := protocol.Errorf(protocol.ModelTooLarge, "the optimised model takes more than %d bytes", limit)
	refusal.Limit = limit
	return refusal
}

// start starts the child. ctx ends it.
func (c *child) start(ctx context.Context, o Options, graph *os.File) (err error) {
	c.cmd = childCommand(append(append([]string(nil), o.Checker...), o.Library, "-", checkerOutput), graph)
	c.cmd.Stderr = &c.stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	c.release = context.AfterFunc(ctx, func() { _ = c.cmd.Process.Kill() })
	// The child first reads the model, and gets its first byte only after these limits
	// are set.
	err = limitChild(c.cmd.Process.Pid, limit{unix.RLIMIT_AS, checkerMemory + checkerTimes*c.size}, limit{unix.RLIMIT_CPU, checkerCPU},
		limit{unix.RLIMIT_CORE, 0}, limit{unix.RLIMIT_FSIZE, 0}, limit{unix.RLIMIT_NOFILE, checkerFiles})
	if err != nil {
		_ = c.cmd.Process.Kill()
		_ = c.wait()
		return fmt.Errorf("limit it: %w", err)
	}
	return nil
}

// feed writes the model to the child and waits for the child to end.
func (c *child) feed(model []byte) error {
	_, _ = io.Copy(c.in, bytes.NewReader(model)) // if the child ends early, wait returns why
	_ = c.in.Close()
	return c.wait()
}

func (c *child) wait() error {
	defer c.release()
	return waitChild(c.cmd)
}

// opening keeps the first bytes written to it, which contain the reason.
type opening struct{ strings.Builder }

func (t *opening) Write(b []byte) (int, error) {
	t.Builder.Write(b[:min(len(b), max(0, 600-t.Len()))])
	return len(b), nil
}

// collect returns what write writes to the pipe. If that is more than limit bytes, or cannot
// be kept, collect calls enough.
func collect(limit int64, enough func(), write func(to *os.File) error) (*region, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer from.Close()
	type result struct {
		graph *region
		err   error
	}
	read := make(chan result, 1)
	go func() {
		graph, err := readGraph(from, limit)
		if err != nil {
			if !errors.Is(err, io.EOF) { // else it ends by itself, and how tells why
				enough()
			}
			_, _ = io.Copy(io.Discard, from) // the writer must not block for ever
		}
		read <- result{graph, err}
	}()
	err = write(to)
	_ = to.Close()
	_ = from.SetReadDeadline(time.Now().Add(drainTime))
	r := <-read
	if r.err == nil && err != nil {
		r.graph.close()
		return nil, err
	}
	return r.graph, errors.Join(r.err, err)
}

// readGraph reads to the end, or until limit is exceeded by one byte. The memory that it
// reserves costs nothing until it is written to.
func readGraph(from io.Reader, limit int64) (*region, error) {
	graph, err := newRegion(limit+1, false)
	if err != nil {
		return nil, err
	}
	n, err := io.ReadFull(from, graph.bytes()[:limit+1])
	if err == nil {
		err = errGraphSize
	} else if n > 0 && errors.Is(err, io.ErrUnexpectedEOF) {
		graph.size = int64(n)
		return graph, nil
	}
	graph.close()
	return nil, err
}
