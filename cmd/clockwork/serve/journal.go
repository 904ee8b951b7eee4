package serve

import (
	"errors"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/journal"
	"clockwork/services/controller"
	"clockwork/services/frontdoor"
	"clockwork/services/profiler"
	"clockwork/services/worker"
)

// JournalFlags are for the services whose cores are recorded in a journal.
type JournalFlags struct {
	Record string `placeholder:"FILE" help:"Record the events and decisions of the service in FILE, for clockwork replay; inputs and outputs only by their length."`
}

// Journaled calls run with a journal, nil if the flag is not set.
func (f JournalFlags) Journaled(run func(*journal.Writer) error) error {
	return journaled("--record", f.Record, run)
}

// StackJournalFlags are for all services in one process, where --record is the
// scheduler's.
type StackJournalFlags struct {
	Journal string `placeholder:"FILE" help:"Record the events and decisions of controller, front door, profiler and workers in FILE, for clockwork replay; inputs and outputs only by their length."`
}

// Journaled calls run with a journal, nil if the flag is not set.
func (f StackJournalFlags) Journaled(run func(*journal.Writer) error) error {
	return journaled("--journal", f.Journal, run)
}

func journaled(flag, path string, run func(*journal.Writer) error) (err error) {
	if path == "" {
		return run(nil)
	}
	file, err := cli.CreateRecord(flag, path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	to, err := journal.NewWriter(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return run(to)
}

// RecordController adds the journal, if there is one, to the observers of a controller's
// cores: startup phase and front door.
func RecordController(c *controller.Config, to *journal.Writer) {
	if to != nil {
		c.Observers = append(c.Observers, to.Startup())
		RecordFrontDoor(&c.Config, to)
	}
}

// RecordFrontDoor adds the journal, if there is one, to a front door's observers.
func RecordFrontDoor(c *frontdoor.Config, to *journal.Writer) {
	if to != nil {
		c.Observers = append(c.Observers, to.FrontDoor())
	}
}

// RecordProfiler adds the journal, if there is one, to a profiler's observers.
func RecordProfiler(c *profiler.Config, to *journal.Writer) {
	if to != nil {
		c.Observers = append(c.Observers, to.Measure())
	}
}

// RecordWorker adds the journal, if there is one, to a worker's observers.
func RecordWorker(c *worker.Config, to *journal.Writer) {
	if to != nil {
		c.Observers = append(c.Observers, to.Work())
	}
}
