//go:build linux && !static

package onnx

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"clockwork/pkg/protocol"
)

// The channels of an executor, as files of its process. One carries the tasks of models,
// one the copies of weights, one the executions: none of them waits for another.
const (
	modelsFile = 3 + iota
	weightsFile
	runFile
	executorFiles = iota
)

// ExecuteModels is the executor's process: it runs the models of one device for the
// worker that started it, until that worker ends its channels. A model may end this
// process, which then concerns nobody else; it drops the privileges that it does not
// need: see sandbox.
func ExecuteModels(library string) error {
	// Who stops a worker sends these to all of its processes; the worker is to finish
	// its actions first.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	_ = os.WriteFile("/proc/self/comm", []byte("clockwork-exec"), 0) // how it is called in ps and top
	var channels [executorFiles]*channel
	for i := range channels {
		open := openChannel
		if modelsFile+i == runFile {
			open = openBlocking
		}
		c, err := open(os.NewFile(uintptr(modelsFile+i), "channel"))
		if err != nil {
			return fmt.Errorf("open the worker's channels (only a worker starts this): %w", err)
		}
		channels[i] = c
	}
	models, runs := channels[modelsFile-3], channels[runFile-3]
	s, begun, err := receiveSetup(models)
	if err != nil {
		return fmt.Errorf("receive setup: %w", err)
	}
	e, version, err := startEngine(library, s)
	if err != nil {
		// The worker reports it.
		return models.send(hello{Version: version, Refusal: protocol.Errorf(protocol.BackendError, "%v", err)}, nil)
	}
	ended, got := make(chan error, executorFiles), make(chan string, 1)
	var lanes sync.WaitGroup
	for i, c := range channels {
		lanes.Go(func() {
			if c == runs {
				runtime.LockOSThread()
				got <- takeProcessor(s.Processor, s.Spare)
			}
			ended <- e.serve(c, begun.of(i))
		})
	}
	if err := models.send(hello{Version: version, Processor: <-got}, nil); err != nil {
		return fmt.Errorf("answer setup: %w", err)
	}
	err = <-ended // the others may be in a model that never ends
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// receiveSetup returns the worker's first message, and the memory that came along.
func receiveSetup(c *channel) (s setup, begun progress, err error) {
	file, err := c.receiveFile(&s)
	if err != nil {
		return s, begun, err
	}
	if file == nil {
		return s, begun, errFrame
	}
	defer file.Close()
	begun, err = openProgress(file)
	return s, begun, err
}

func startEngine(library string, s setup) (*engine, string, error) {
	lib, err := openORT(library)
	if err != nil {
		return nil, "", err
	}
	e, err := newEngine(lib, s)
	if err != nil {
		return nil, lib.version, err
	}
	if err := sandbox(); err != nil {
		return nil, lib.version, fmt.Errorf("sandbox the executor: %w", err)
	}
	return e, lib.version, nil
}

// serve carries out what comes on one channel, one after the other, until it ends. begun
// counts.
func (e *engine) serve(c *channel, begun *atomic.Uint64) error {
	for {
		body, file, err := c.receiveFrame()
		if err != nil {
			return err
		}
		begun.Add(1)
		if stage, weights, ok := readRun(body); ok {
			if refusal := e.run(stage, weights); refusal != nil {
				err = c.send(done{Refusal: refusal}, nil)
			} else {
				err = c.sendFrame(ran, nil)
			}
		} else {
			err = e.serveTask(c, body, file)
		}
		if err != nil {
			return err
		}
	}
}

func (e *engine) serveTask(c *channel, body []byte, file *os.File) error {
	if file != nil {
		defer file.Close()
	}
	var t task
	if err := json.Unmarshal(body, &t); err != nil {
		return fmt.Errorf("decode task: %w", err)
	}
	return c.send(e.perform(&t, file), nil)
}
