package serve

import (
	"errors"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/recorder"
	"clockwork/services/controller"
	"clockwork/services/frontdoor"
	"clockwork/services/profiler"
	"clockwork/services/worker"
)

// RecordFlags are for the services whose cores are recorded within their steps.
type RecordFlags struct {
	Record string `placeholder:"FILE" help:"Record the events and decisions of the service in FILE, for clockwork replay; inputs and outputs only by their length."`
}

// Recorded calls run with a recording, nil if the flag is not set.
func (f RecordFlags) Recorded(run func(*recorder.Direct) error) error {
	return recorded("--record", f.Record, run)
}

// StackRecordFlags are for all services in one process, where --record is the
// scheduler's.
type StackRecordFlags struct {
	Journal string `placeholder:"FILE" help:"Record the events and decisions of controller, front door, profiler and workers in FILE, for clockwork replay; inputs and outputs only by their length."`
}

// Recorded calls run with a recording, nil if the flag is not set.
func (f StackRecordFlags) Recorded(run func(*recorder.Direct) error) error {
	return recorded("--journal", f.Journal, run)
}

func recorded(flag, path string, run func(*recorder.Direct) error) (err error) {
	if path == "" {
		return run(nil)
	}
	file, err := cli.CreateRecord(flag, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	to, err := recorder.NewDirect(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return run(to)
}

// RecordController adds the recording, if there is one, to the observers of a controller's
// cores: startup phase and front door.
func RecordController(c *controller.Config, to *recorder.Direct) {
	if to != nil {
		c.Observers = append(c.Observers, to.Startup())
		RecordFrontDoor(&c.Config, to)
	}
}

// RecordFrontDoor adds the recording, if there is one, to a front door's observers.
func RecordFrontDoor(c *frontdoor.Config, to *recorder.Direct) {
	if to != nil {
		c.Observers = append(c.Observers, to.FrontDoor())
	}
}

// RecordProfiler adds the recording, if there is one, to a profiler's observers.
func RecordProfiler(c *profiler.Config, to *recorder.Direct) {
	if to != nil {
		c.Observers = append(c.Observers, to.Measure())
	}
}

// RecordWorker adds the recording, if there is one, to a worker's observers.
func RecordWorker(c *worker.Config, to *recorder.Direct) {
	if to != nil {
		c.Observers = append(c.Observers, to.Work())
	}
}
