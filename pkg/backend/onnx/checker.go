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
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

// Limits of a checker: CPU seconds, wall time, and address space as so many
// bytes besides so many times the model.
const (
	checkerCPU    = 120
	checkerTime   = 150 * time.Second
	checkerMemory = 4 << 30
	checkerTimes  = 6
)

// CheckModel tries out a model: its form, then whether ORT takes it. file "-"
// is the standard input. It runs in a process of its own (Options.Checker),
// for a hostile file may end it. The error is a *protocol.Error where the
// model is at fault.
func CheckModel(library, file string) error {
	in := os.Stdin
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("read model: %w", err)
		}
		defer opened.Close()
		in = opened
	}
	model, err := io.ReadAll(io.LimitReader(in, DefaultMaxFile))
	if err != nil {
		return fmt.Errorf("read model: %w", err)
	}
	lib, err := openORT(library)
	if err != nil {
		return err
	}
	if refusal := tryModel(lib, model); refusal != nil {
		return refusal
	}
	return nil
}

func tryModel(lib *ort, model []byte) *protocol.Error {
	if err := inspect(model); err != nil {
		return err
	}
	s, err := newSession(lib, model, optimizeAll, "")
	if err != nil {
		return protocol.Errorf(protocol.ModelCorrupt, "ONNX Runtime refuses the model: %v", err)
	}
	s.close()
	return nil
}

// checkInChild runs the checker over a model. However the child ends, if not
// well, the model is corrupt.
func checkInChild(ctx context.Context, checker []string, library string, model []byte) *protocol.Error {
	ctx, cancel := context.WithTimeout(ctx, checkerTime)
	defer cancel()
	args := append(append([]string(nil), checker[1:]...), library, "-")
	cmd := exec.CommandContext(ctx, checker[0], args...)
	var stderr opening
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return protocol.Errorf(protocol.BackendError, "start the model checker: %v", err)
	}
	// The child reads the model before it does anything with it, and gets its
	// first byte only under these limits.
	if err := limitProcess(cmd.Process.Pid, uint64(len(model))); err != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return protocol.Errorf(protocol.BackendError, "limit the model checker: %v", err)
	}
	_, _ = io.Copy(in, bytes.NewReader(model)) // a child that ends early says so below
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			return protocol.Errorf(protocol.BackendError, "the model check was cancelled")
		}
		reason, _, _ := strings.Cut(stderr.String(), "\n") // a stack trace may follow
		return protocol.Errorf(protocol.ModelCorrupt, "the model check failed: %v %s", err, tidy(reason))
	}
	return nil
}

func limitProcess(pid int, size uint64) error {
	memory := checkerMemory + checkerTimes*size
	return errors.Join(
		unix.Prlimit(pid, unix.RLIMIT_AS, &unix.Rlimit{Cur: memory, Max: memory}, nil),
		unix.Prlimit(pid, unix.RLIMIT_CPU, &unix.Rlimit{Cur: checkerCPU, Max: checkerCPU}, nil),
		unix.Prlimit(pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil),
	)
}

// opening keeps the first bytes of what is written to it, which hold the reason.
type opening struct{ strings.Builder }

func (t *opening) Write(b []byte) (int, error) {
	t.Builder.Write(b[:min(len(b), max(0, 600-t.Len()))])
	return len(b), nil
}
