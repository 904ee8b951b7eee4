package lab

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/journal"
	"clockwork/pkg/watch/terminal"
)

// isJournal reports whether a file is a journal, and not a scheduler's recording.
func isJournal(path string) (bool, error) {
	file, err := os.Open(path)
	if err != nil {
		return false, cli.Usage(err)
	}
	defer file.Close()
	start := make([]byte, 64)
	n, _ := io.ReadFull(file, start) // a shorter file is not a journal
	return journal.Is(start[:n]), nil
}

// journalReport is the output of replay --json for a journal.
type journalReport struct {
	Same bool `json:"same"`
	*journal.Verdict
}

// journal replays a journal.
func (k *Replay) journal(c *cli.Flags, con *cli.Console) error {
	if k.changes() {
		return cli.Usagef("%s is not a scheduler's recording: --policy and --config change nothing in it", k.File)
	}
	file, err := os.Open(k.File)
	if err != nil {
		return cli.Usage(err)
	}
	defer file.Close()
	verdict, err := journal.Verify(file)
	if err != nil {
		return fmt.Errorf("%s: %w", k.File, err)
	}
	report := journalReport{verdict.Same(), verdict}
	if c.JSON {
		err = cli.PrintJSON(con.Out, report)
	} else {
		_, err = io.WriteString(con.Out, report.text(con.Display.Width(), k.File))
	}
	if err == nil && !report.Same {
		return cli.ErrShown
	}
	return err
}

// cores names the kinds of cores that began.
func (r *journalReport) cores() string {
	var names []string
	for _, m := range r.Machines {
		names = append(names, m.Core)
	}
	if len(names) == 0 {
		return "of nothing"
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), " and ")
}

// text describes in a few lines what was proven.
func (r *journalReport) text(width int, file string) string {
	said := []string{fmt.Sprintf("%s: %s, %s, %s over %s", file, r.cores(), cli.Count(len(r.Machines), "core"),
		cli.Count(r.Events, "event"), terminal.Duration(r.To.Sub(r.From)))}
	switch {
	case r.Differs != nil:
		said = append(said, fmt.Sprintf("OTHER DECISIONS than recorded: %s at line %d, of core %s; nothing is replayed after it", r.Differs.Event, r.Differs.Line, r.Differs.Core),
			"The recording is of another version of that core, or the core depends on more than its events.")
	case r.Events == 0:
		said = append(said, "no event was recorded")
	default:
		said = append(said, fmt.Sprintf("the same decisions: hash %s after %s", r.Hash, cli.Count(r.Events, "event")))
	}
	if r.Cut && r.Same {
		said = append(said, fmt.Sprintf("The recording ends without a close, after line %d: what came later is not in it.", r.Lines))
	}
	for i := range said {
		said[i] = cli.Folded(said[i], width)
	}
	return strings.Join(said, "\n") + "\n"
}
