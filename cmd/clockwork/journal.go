package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"clockwork/pkg/lab/journal"
	"clockwork/pkg/watch/terminal"
)

// journalFlags are of the services whose cores are recorded in a journal.
type journalFlags struct {
	Record string `placeholder:"FILE" help:"Record what it is given and decides into FILE, for clockwork replay."`
}

// journaled has run go on with a journal, nil where none is asked for.
func (f journalFlags) journaled(run func(*journal.Writer) error) (err error) {
	if f.Record == "" {
		return run(nil)
	}
	if isDirectory(f.Record) {
		return usageError{fmt.Sprintf("--record %s is a directory; name a file in it", f.Record)}
	}
	file, err := os.OpenFile(f.Record, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usageError{fmt.Sprintf("--record %s exists; remove it or name another", f.Record)}
	}
	if err != nil {
		return usageError{"--record: " + err.Error()}
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	to, err := journal.NewWriter(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	return run(to)
}

// isJournal reports whether a file is a journal, and not a scheduler's recording.
func isJournal(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, usageError{err.Error()}
	}
	defer file.Close()
	start := make([]byte, 64)
	n, _ := io.ReadFull(file, start) // what is too short is none
	return journal.Is(start[:n]), nil
}

// journalReport is what replay --json prints of a journal.
type journalReport struct {
	Same bool `json:"same"`
	*journal.Verdict
}

// journal replays a journal.
func (k *replayCommand) journal(c *cli, con *console) error {
	if k.changes() {
		return usageError{fmt.Sprintf("%s is not a scheduler's recording: --policy and --config change nothing in it", k.File)}
	}
	file, err := os.Open(k.File)
	if err != nil {
		return usageError{err.Error()}
	}
	defer file.Close()
	verdict, err := journal.Verify(file)
	if err != nil {
		return fmt.Errorf("%s: %w", k.File, err)
	}
	report := journalReport{verdict.Same(), verdict}
	if c.JSON {
		err = printJSON(con.out, report)
	} else {
		_, err = io.WriteString(con.out, report.text(con.display.Width(), k.File))
	}
	if err == nil && !report.Same {
		return errShown
	}
	return err
}

// text says in some lines what was proven.
func (r *journalReport) text(width int, file string) string {
	cores := slices.Compact(slices.Sorted(slices.Values(r.Cores)))
	if len(cores) == 0 {
		cores = []string{"of nothing"}
	}
	said := []string{fmt.Sprintf("%s: %s, %s, %s over %s", file, strings.Join(cores, " and "), count(len(r.Cores), "core"),
		count(r.Events, "event"), terminal.Duration(r.To.Sub(r.From)))}
	switch {
	case r.Differs != nil:
		said = append(said, fmt.Sprintf("OTHER DECISIONS than recorded: %s at line %d, of core %s; nothing is replayed after it", r.Differs.Event, r.Differs.Line, r.Differs.Core),
			"The recording is of another version of that core, or the core depends on more than its events.")
	case r.Events == 0:
		said = append(said, "no event was recorded")
	default:
		said = append(said, fmt.Sprintf("the same decisions: hash %s after %s", r.Hash, count(r.Events, "event")))
	}
	if r.Cut && r.Same {
		said = append(said, fmt.Sprintf("The recording ends without a close, after line %d: what came later is not in it.", r.Lines))
	}
	for i := range said {
		said[i] = folded(said[i], width)
	}
	return strings.Join(said, "\n") + "\n"
}
