package serve

import (
	"errors"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/journal"
)

// JournalFlags are for the services whose cores are recorded in a journal.
type JournalFlags struct {
	Record string `placeholder:"FILE" help:"Record what it is given and decides into FILE, for clockwork replay."`
}

// Journaled calls run with a journal, nil if the flag is not set.
func (f JournalFlags) Journaled(run func(*journal.Writer) error) (err error) {
	if f.Record == "" {
		return run(nil)
	}
	file, err := cli.CreateRecord(f.Record)
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
