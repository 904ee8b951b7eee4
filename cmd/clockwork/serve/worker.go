package serve

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/backend"
	"clockwork/pkg/adapter/backend/combined"
	"clockwork/pkg/adapter/backend/emulated"
	"clockwork/pkg/adapter/backend/onnx"
	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/core/work"
	"clockwork/pkg/protocol"
	"clockwork/services/worker"
)

// onnxPages is the default number of pages of a CPU device: 512 MiB with the default
// page size, since all of it is touched when the worker starts.
const onnxPages = 32

// WorkerFlags are the common flags of up and worker.
type WorkerFlags struct {
	Backend        string       `enum:"emulated,onnx" default:"emulated" help:"What executes models: emulated (GPUs that wait as long as real ones compute) or onnx (real models on the CPU; zoo/NAME stays emulated)." group:"Worker"`
	GPUs           int          `name:"gpus" default:"1" help:"How many GPUs a worker has, at most 128." group:"Worker"`
	Models         string       `default:"./models" placeholder:"DIR" help:"Directory of real models, by default ./models: NAME/VERSION/model.onnx, with an optional NAME/model.yaml." group:"Worker"`
	GenerateInputs bool         `help:"Make inputs up for requests that bring none; else they are INVALID_INPUT." group:"Worker"`
	Pages          int          `placeholder:"N" help:"Pages of weights on each GPU; by default 1376 emulated, 32 with onnx, whose memory is taken at once." group:"Worker"`
	PageSize       cli.ByteSize `default:"16MiB" placeholder:"SIZE" from:"4KiB" to:"1GiB" help:"Size of a page, as in 16MiB." group:"Worker"`

	KillOverdue      float64       `default:"10" placeholder:"X" help:"What executes on a GPU is ended and started again when something takes X times as long as expected, plus the floor; 0: never." group:"Worker"`
	KillOverdueFloor time.Duration `default:"1s" from:"0s" to:"1h" help:"The floor of --kill-overdue." group:"Worker"`

	ONNXLibrary string `name:"onnx-library" placeholder:"PATH" help:"ONNX Runtime's shared library, 1.17 or later; by default what clockwork fetch has fetched." group:"ONNX"`
	ONNXCache   string `name:"onnx-cache" placeholder:"DIR" help:"Where optimised models are kept; by default in the user's cache." group:"ONNX"`

	ExecutorMemory cli.ByteSize `default:"4GiB" placeholder:"SIZE" from:"64MiB" to:"1024GiB" help:"How much memory the process that executes on a GPU may take besides weights; a request that takes more fails." group:"ONNX"`

	emulationFlags
}

// emulationFlags are for emulated GPUs only.
type emulationFlags struct {
	GPUType    string        `name:"gpu-type" default:"v100" help:"What emulated GPUs call themselves; profiles are kept by it." group:"Emulated GPUs"`
	Scale      float64       `default:"1" help:"Multiplies all emulated durations; 0 takes no time." group:"Emulated GPUs"`
	Jitter     float64       `default:"0" help:"Lengthens each duration by up to this fraction." group:"Emulated GPUs"`
	StallEvery int           `placeholder:"N" help:"Make one in N actions stall." group:"Emulated GPUs"`
	Stall      time.Duration `default:"50ms" from:"0s" to:"1h" help:"How long a stall lasts." group:"Emulated GPUs"`
	SlowDown   float64       `placeholder:"X" help:"Multiplies durations behind the scheduler's back." group:"Emulated GPUs"`
	FailEvery  int           `placeholder:"N" help:"Make one in N actions fail." group:"Emulated GPUs"`
	CrashEvery int           `placeholder:"N" help:"Make one in N executions end the GPU's executor, as a crash does." group:"Emulated GPUs"`
	HangEvery  int           `placeholder:"N" help:"Make one in N executions never end." group:"Emulated GPUs"`
	CrashInput string        `placeholder:"TEXT" help:"Crash on inputs that begin with this." group:"Emulated GPUs"`
	HangInput  string        `placeholder:"TEXT" help:"Never end on inputs that begin with this." group:"Emulated GPUs"`
	FaultSeed  uint64        `default:"1" help:"Equal seeds misbehave equally." group:"Emulated GPUs"`
}

// Config returns the configuration of the worker of this name. Errors that can be found
// before the backend is opened are usage errors.
func (f *WorkerFlags) Config(name string) (worker.Config, error) {
	if err := f.check(); err != nil {
		return worker.Config{}, err
	}
	emulation := f.emulation(name)
	if err := emulation.Validate(); err != nil {
		return worker.Config{}, cli.Usage(err)
	}
	config := worker.DefaultConfig(name, func([]string) (backend.Backend, error) { return openEmulated(emulation) })
	if f.Backend == onnx.Name {
		options, err := f.onnx(name, emulation)
		if err != nil {
			return worker.Config{}, err
		}
		if config.Inventory, err = onnx.Inventory(); err != nil {
			return worker.Config{}, cli.WithCode(protocol.BackendError, err)
		}
		config.GPUs = f.GPUs
		config.Open = func(processors []string) (backend.Backend, error) {
			options.Host, options.Processors = config.Inventory.Host, processors
			return openCombined(options, emulation)
		}
	}
	config.GenerateInputs = f.GenerateInputs
	config.Overdue.Factor, config.Overdue.Floor = f.KillOverdue, f.KillOverdueFloor
	if f.KillOverdue == 0 {
		config.Overdue = work.Overdue{}
	}
	if err := config.Validate(); err != nil {
		return worker.Config{}, cli.Usage(err)
	}
	return config, nil
}

// defaultModels need not exist for emulated GPUs.
const defaultModels = "./models"

// maxOverdue is far beyond a use.
const maxOverdue = 1e6

// check names the flag in its errors; the backends' own checks name their options.
func (f *WorkerFlags) check() error {
	if f.GPUs < 1 || f.GPUs > protocol.MaxGPUs {
		return cli.Usagef("--gpus is %d; it must be from 1 to %d, use several workers for more", f.GPUs, protocol.MaxGPUs)
	}
	// Emulated GPUs do not use the directory, but a wrong one is reported.
	if f.Backend != onnx.Name && f.Models != "" && f.Models != defaultModels {
		if err := checkModels(f.Models); err != nil {
			return err
		}
	}
	if !(f.KillOverdue >= 0 && f.KillOverdue <= maxOverdue) {
		return cli.Usagef("--kill-overdue is %v; it must be from 0 to %d", f.KillOverdue, int(maxOverdue))
	}
	if f.Pages < 0 {
		return cli.Usagef("--pages is %d; it must be at least 1", f.Pages)
	}
	return nil
}

// checkModels finds an unusable directory at the start instead of at each load.
func checkModels(dir string) error {
	_, err := os.ReadDir(dir)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return cli.Usagef("--models %s: there is no such directory; make it, choose another, or let clockwork fetch put a model there", dir)
	}
	return cli.Usagef("--models %s: it cannot be read as a directory: %v; give one with NAME/VERSION/model.onnx in it", dir, err)
}

// emulation returns the emulated backend's options; with onnx its GPUs have as many
// pages as the CPU devices.
func (f *WorkerFlags) emulation(name string) emulated.Options {
	o := emulated.Defaults(name)
	switch {
	case f.Pages != 0:
		o.Pages = f.Pages
	case f.Backend == onnx.Name:
		o.Pages = onnxPages
	}
	o.GPUs, o.PageSize, o.GPUType, o.Scale = f.GPUs, int64(f.PageSize), f.GPUType, f.Scale
	o.Faults = f.faults()
	return o
}

// faults are zero, and so cost nothing, unless a flag enables one.
func (f *emulationFlags) faults() emulated.Faults {
	faults := emulated.Faults{Jitter: f.Jitter, StallEvery: f.StallEvery, SlowDown: f.SlowDown, FailEvery: f.FailEvery,
		CrashEvery: f.CrashEvery, HangEvery: f.HangEvery, CrashInput: f.CrashInput, HangInput: f.HangInput}
	if faults != (emulated.Faults{}) {
		faults.Seed, faults.Stall = f.FaultSeed, f.Stall
	}
	return faults
}

// self is this process's program, also after its file was replaced or removed.
const self = "/proc/self/exe"

// onnx returns the real backend's options. Models are checked, tried and executed by this
// program in processes of their own.
func (f *WorkerFlags) onnx(name string, like emulated.Options) (onnx.Options, error) {
	if err := onnx.Available(); err != nil {
		return onnx.Options{}, cli.WithCode(protocol.BackendError, err)
	}
	library := f.ONNXLibrary
	if library == "" {
		var cached bool
		if library, cached = fetch.CachedLibrary(""); !cached {
			return onnx.Options{}, errNoLibrary
		}
	}
	if err := checkModels(f.Models); err != nil {
		return onnx.Options{}, err
	}
	return onnx.Options{
		Library:    library,
		ModelRoot:  f.Models,
		CacheDir:   f.ONNXCache,
		GPUs:       like.GPUs,
		Pages:      like.Pages,
		PageSize:   like.PageSize,
		WorkerName: name,
		Memory:     int64(f.ExecutorMemory),
		Checker:    []string{self, "check-model"},
		Executor:   []string{self, "execute-models"},
	}, nil
}

var errNoLibrary = cli.WithCode(protocol.BackendError, errors.New("there is no ONNX Runtime library yet: run clockwork fetch, or give the path of one with --onnx-library"))

func openEmulated(o emulated.Options) (backend.Backend, error) {
	b, err := emulated.New(o)
	if err != nil {
		return nil, err
	}
	return b, nil
}

func openCombined(real onnx.Options, emulation emulated.Options) (backend.Backend, error) {
	r, err := onnx.New(real)
	if err != nil {
		return nil, err
	}
	e, err := emulated.New(emulation)
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	b, err := combined.New(r, e)
	if err != nil {
		return nil, err
	}
	return b, nil
}
