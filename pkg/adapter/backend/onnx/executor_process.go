//go:build linux && !static

package onnx

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"clockwork/pkg/protocol"
)

// process is one executor's process, as the worker sees it. Its lanes are independent: a
// call on one does not wait for the others.
type process struct {
	cmd *exec.Cmd
	// version is ONNX Runtime's, processor what executions have of theirs.
	version, processor string
	stderr             *lines

	models, weights, runs lane
	progress              progress

	mu     sync.Mutex
	opened map[*model]*openCall
	loaded map[*model]int // weights on the device
	memory memoryLimit
	unused []uint64 // batches that it need not know any more
	why    string   // why this side ended it, "" if it did not

	worked atomic.Bool   // it has completed a task
	lost   chan struct{} // closed when the system has reported its end
	over   chan struct{} // closed when everything of it is released
	how    string        // how it ended; read after lost, as killed
	killed bool          // it was killed, and not by this side
}

// lane is one channel of a process, and the model on which the process works there.
type lane struct {
	mu      sync.Mutex // held for a call
	channel *channel
	doing   atomic.Pointer[model]
	sent    atomic.Uint64 // tasks
	begun   atomic.Uint64 // a copy of the executor's counter, made when it had ended
}

// began reports whether the executor, which has ended, had begun the task that was sent last.
func (l *lane) began() bool { return l.begun.Load() >= l.sent.Load() }

// openCall is the opening of one model in one process: done is closed when refusal is valid.
type openCall struct {
	done    chan struct{}
	refusal *protocol.Error
}

// startProcess starts an executor and waits until it is ready; started is told in between. stop
// ends it. The calling goroutine is locked to its thread until wait has returned.
func startProcess(o *Options, s setup, stop <-chan struct{}, started func(*process), said func(p *process, line string)) (*process, error) {
	p := &process{opened: map[*model]*openCall{}, loaded: map[*model]int{}, lost: make(chan struct{}), over: make(chan struct{})}
	p.stderr = &lines{say: func(line string) { said(p, line) }}
	shared, file, err := newProgress()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	p.progress = shared
	if err := p.launch(append(slices.Clone(o.Executor), o.Library)); err != nil {
		p.closeLanes()
		return nil, err
	}
	started(p)
	go func() { // ends with the process
		select {
		case <-stop:
			p.end("the worker stops")
		case <-p.over:
		}
	}()
	if err := p.begin(o, s, file); err != nil {
		return nil, p.notStarted(err)
	}
	return p, nil
}

// notStarted waits for the end of a process that did not begin, and returns why it did not.
func (p *process) notStarted(err error) error {
	late := time.AfterFunc(drainTime, func() { p.end("it did not begin") })
	defer late.Stop()
	p.wait()
	if why := p.ended(); why != "" {
		return errors.New(why)
	}
	if p.killed {
		return protocol.Errorf(protocol.NoMemory, "the executor ended before it began: %s", p.how)
	}
	return err
}

// launch starts the command with the other ends of the channels, which are then only
// there: a channel ends when the process does.
func (p *process) launch(argv []string) error {
	var files []*os.File
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	for _, l := range p.lanes() {
		c, other, err := newChannel()
		if err != nil {
			return err
		}
		l.channel, files = c, append(files, other)
	}
	p.cmd = childCommand(argv, files...)
	p.cmd.Stderr = p.stderr
	return p.cmd.Start()
}

// begin sets the process up, the device's first one within startTime.
func (p *process) begin(o *Options, s setup, progress *os.File) error {
	if err := limitChild(p.cmd.Process.Pid, limit{unix.RLIMIT_CORE, 0}, limit{unix.RLIMIT_FSIZE, 0}); err != nil {
		return err
	}
	if !s.Lazy {
		late := time.AfterFunc(startTime, func() { p.end("it did not begin in time") })
		defer late.Stop()
	}
	var answer hello
	err := p.models.channel.send(s, progress)
	if err == nil {
		err = p.models.channel.receive(&answer)
	}
	switch {
	case err != nil:
		return errors.New("the executor ended before it began: " + tidy(err.Error()) + " " + p.stderr.opening())
	case answer.Refusal != nil:
		return errors.New(tidy(answer.Refusal.Message))
	}
	p.version, p.processor = tidy(answer.Version), tidy(answer.Processor)
	p.memory, err = newMemoryLimit(p.cmd.Process.Pid, o.Memory)
	return err
}

func (p *process) lanes() []*lane { return []*lane{&p.models, &p.weights, &p.runs} }

// closeLanes closes the channels, and keeps how far the executor came.
func (p *process) closeLanes() {
	for i, l := range p.lanes() {
		l.begun.Store(p.progress.of(i).Load())
	}
	p.progress.close()
	for _, l := range p.lanes() {
		if l.channel != nil {
			l.channel.close()
		}
	}
}

// end kills the process. It may be called at any time; the first reason counts.
func (p *process) end(why string) {
	p.mu.Lock()
	if p.why == "" {
		p.why = why
	}
	p.mu.Unlock()
	_ = p.cmd.Process.Kill()
}

func (p *process) ended() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why
}

// wait waits for the process' end, sets how, and releases everything of it. It is called
// once, by who started the process.
func (p *process) wait() {
	err := waitChild(p.cmd)
	p.how, p.killed = endOf(err, p.stderr.opening()), killed(err)
	if why := p.ended(); why != "" {
		p.how, p.killed = why, false
	}
	p.closeLanes()
	close(p.lost)
	close(p.over)
}

func (p *process) isLost() bool {
	select {
	case <-p.lost:
		return true
	default:
		return false
	}
}

// working returns the paths of the models on which the process works, or worked when it
// ended.
func (p *process) working() []string {
	var paths []string
	for _, l := range p.lanes() {
		if m := l.doing.Load(); m != nil && (!p.isLost() || l.began()) && !slices.Contains(paths, m.spec.Path) {
			paths = append(paths, m.spec.Path)
		}
	}
	return paths
}

// perform has the process carry out a task for a model, and waits. If the process ends
// meanwhile, the refusal is that of gone.
func (p *process) perform(l *lane, m *model, t task, file *os.File) (*description, *protocol.Error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sends(m)
	var answer done
	if err := l.channel.send(t, file); err != nil {
		return nil, p.unread(l)
	}
	if err := l.channel.receive(&answer); err != nil {
		return nil, p.gone(l)
	}
	l.doing.Store(nil)
	p.worked.Store(true)
	return answer.Description, cleanRefusal(answer.Refusal)
}

// run has the process execute a batch, and waits.
func (p *process) run(m *model, stage, weights uint64) *protocol.Error {
	l := &p.runs
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sends(m)
	var message [runSize]byte
	if err := l.channel.sendFrame(appendRun(message[:0], stage, weights), nil); err != nil {
		return p.unread(l)
	}
	answer, file, err := l.channel.receiveFrame()
	if file != nil {
		file.Close()
		err = errFrame
	}
	if err != nil {
		return p.gone(l)
	}
	l.doing.Store(nil)
	p.worked.Store(true)
	if bytes.Equal(answer, ran) {
		return nil
	}
	return failureOf(answer)
}

// sends notes that a task for a model is sent next.
func (l *lane) sends(m *model) {
	l.sent.Add(1)
	l.doing.Store(m)
}

// unread returns why a call could not be sent: the model is not to blame.
func (p *process) unread(l *lane) *protocol.Error {
	l.doing.Store(nil)
	p.awaitEnd()
	return p.notBegun()
}

// gone returns why a call got no answer, once that is known: WEIGHTS_MISSING if the process
// ended before it began with it, EXECUTOR_KILLED if it was killed meanwhile from outside,
// and EXECUTOR_LOST if it ended otherwise, or did not keep to the protocol.
func (p *process) gone(l *lane) *protocol.Error {
	switch broke := p.awaitEnd(); {
	case !broke && !l.began():
		return p.notBegun()
	case p.killed:
		return protocol.Errorf(protocol.ExecutorKilled, "the process that executes ended: %s", p.how)
	}
	return protocol.Errorf(protocol.ExecutorLost, "the process that executes ended: %s", p.how)
}

func (p *process) notBegun() *protocol.Error {
	return protocol.Errorf(protocol.WeightsMissing, "they were on the device when its executor ended: %s", p.how)
}

// awaitEnd waits for the end of a process that closed a channel or broke the protocol; broke
// reports that it had to be ended for that.
func (p *process) awaitEnd() (broke bool) {
	select {
	case <-p.lost:
	case <-time.After(drainTime):
		p.end("it broke the protocol")
		<-p.lost
		broke = true
	}
	return broke
}

// open makes a model ready in the process, once; warm runs the smallest batch. It goes on when
// the wait for it ends with ctx.
func (p *process) open(ctx context.Context, m *model, warm bool) *protocol.Error {
	o, mine := p.claim(m)
	if mine {
		m.opening.Add(1)
		go p.carryOut(o, m, warm) // ends with the process at the latest
	}
	select {
	case <-o.done:
		return o.refusal
	case <-ctx.Done():
		return protocol.Errorf(protocol.BackendError, "the load was cancelled")
	}
}

// claim returns the opening of a model. mine: it is new, and the caller carries it out.
func (p *process) claim(m *model) (o *openCall, mine bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o = p.opened[m]; o != nil {
		return o, false
	}
	o = &openCall{done: make(chan struct{})}
	p.opened[m] = o
	return o, true
}

func (p *process) carryOut(o *openCall, m *model, warm bool) {
	defer m.opening.Done()
	defer close(o.done)
	if o.refusal = p.reserve(m, 1); o.refusal != nil {
		return
	}
	// What does not end here has ended in its trial: then the process is at fault. A load is
	// given up sooner; that is no reason to end what executes for others.
	late := time.AfterFunc(m.backend.options.CheckTime, func() { p.end("making " + m.spec.Path + " ready took too long") })
	defer late.Stop()
	t := m.openTask()
	t.Warm = warm
	_, o.refusal = p.perform(&p.models, m, task{Open: &t}, m.image.file)
}

// closeModel frees a model in the process. It may not have been opened.
func (p *process) closeModel(m *model) {
	p.mu.Lock()
	o := p.opened[m]
	delete(p.opened, m)
	p.mu.Unlock()
	if o == nil {
		return
	}
	<-o.done
	if o.refusal == nil {
		_, _ = p.perform(&p.models, m, task{Close: &closeTask{m.id}}, nil)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory.forget(m)
}

// reserve lets the process have address ranges for n copies of a model's weights.
func (p *process) reserve(m *model, n int) *protocol.Error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.isLost() {
		return nil // the call that follows is told
	}
	return p.memory.reserve(m, n)
}

// copies returns how many weights of a model are on the device.
func (p *process) copies(m *model) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loaded[m]
}

// bind makes the memory of a batch known to the process, and frees what it need not know
// any more.
func (p *process) bind(m *model, s *stage) *protocol.Error {
	p.mu.Lock()
	unused := p.unused
	p.unused = nil
	p.mu.Unlock()
	if len(unused) > 0 {
		if _, refusal := p.perform(&p.runs, m, task{Unbind: &unbindTask{unused}}, nil); refusal != nil {
			return refusal
		}
	}
	_, refusal := p.perform(&p.runs, m, task{Bind: &bindTask{Stage: s.id, Model: m.id, Batch: s.batch}}, s.file)
	if refusal == nil {
		s.process = p
	}
	return refusal
}

// forget has the process free a batch's memory before the next one is bound.
func (p *process) forget(stage uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unused = append(p.unused, stage)
}

// hold changes how many weights of a model are on the device.
func (p *process) hold(m *model, n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.loaded[m] += n; p.loaded[m] == 0 {
		delete(p.loaded, m)
	}
}
