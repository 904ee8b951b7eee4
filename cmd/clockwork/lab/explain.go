package lab

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/lab/replay"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/watch/terminal"
)

type Explain struct {
	What string   `arg:"" optional:"" name:"FILE|ID" help:"A recording, of clockwork scheduler --record or clockwork sim --record; what is no file, and has no / in it, is a request of the running stack."`
	IDs  []string `arg:"" optional:"" name:"ID" help:"Requests to explain: DOOR:NUMBER (the door in hexadecimal), or of a running stack the id that a client gave. Without any, what failed is grouped by cause."`
}

// explainReport is the output of explain --json.
type explainReport struct {
	// Same: the replay behind the explanations provably equals the recorded run.
	Same bool `json:"same"`
	// Cut: the recording was not closed.
	Cut      bool                   `json:"cut"`
	Summary  *explain.Summary       `json:"summary"`
	Requests []*explain.Explanation `json:"requests,omitempty"`
}

// Help says where recordings and ids come from.
func (k *Explain) Help() string {
	return "Of the running stack, what was missed lately and why, and then one request, by its client's id or by its own:\n\n" +
		"  clockwork explain\n  clockwork explain cat-1\n  clockwork explain 1:16777220\n\n" +
		"The same of a recording, which forgets nothing:\n\n" +
		"  clockwork sim paper-6.1-open --record FILE\n  clockwork explain FILE\n  clockwork explain FILE 1:16777220"
}

// Run explains requests of a recording, or of the running stack.
func (k *Explain) Run(c *cli.Flags, con *cli.Console) error {
	if _, err := os.Stat(k.What); err == nil || strings.ContainsRune(k.What, os.PathSeparator) {
		return k.recorded(c, con)
	}
	var ids []string
	if k.What != "" {
		ids = append([]string{k.What}, k.IDs...)
	}
	return explainLive(c, con, ids)
}

// recorded explains a recording's requests.
func (k *Explain) recorded(c *cli.Flags, con *cli.Console) error {
	ids, err := requestIDs(k.IDs)
	if err != nil {
		return err
	}
	x := explain.New(ids)
	verdict, err := verified(k.What, x)
	if err != nil {
		return err
	}
	report := explainReport{verdict.Same(), verdict.Cut, x.Summary(), x.Wanted()}
	if c.JSON {
		err = cli.PrintJSON(con.Out, report)
	} else {
		err = report.print(con, verdict, len(ids) > 0)
	}
	if absent := report.without(ids); err == nil && len(absent) > 0 {
		fmt.Fprintf(con.Err, "clockwork: not in the recording: %s\n", strings.Join(absent, ", "))
		return cli.ErrShown
	}
	return err
}

// without returns the ids without an explanation.
func (report explainReport) without(ids []protocol.RequestID) (absent []string) {
	for _, id := range ids {
		if !slices.ContainsFunc(report.Requests, func(e *explain.Explanation) bool { return e.ID == id.String() }) {
			absent = append(absent, id.String())
		}
	}
	return absent
}

// print prints the given requests, or without ids the failures.
func (report explainReport) print(con *cli.Console, verdict *replay.Verdict, wanted bool) error {
	switch {
	case !report.Same:
		said := &replayReport{Same: false, Verdict: verdict}
		fmt.Fprintf(con.Out, "%s\nWhat follows is of the events before that.\n\n", said.verdict(con.Display.Width()))
	case report.Cut:
		fmt.Fprintf(con.Out, "%s\n\n", cli.Folded(unclosed(verdict), con.Display.Width()))
	}
	if wanted {
		for i, e := range report.Requests {
			if i > 0 {
				fmt.Fprintln(con.Out)
			}
			fmt.Fprintln(con.Out, story(e, con.Display.Width()))
		}
		return nil
	}
	return printCauses(con.Out, con.Display.Width(), report.Summary)
}

// requestIDs parses ids as they are printed; leading zeros may be left out.
func requestIDs(texts []string) (ids []protocol.RequestID, err error) {
	for _, text := range texts {
		id, err := protocol.ParseRequestID(text)
		if err != nil {
			return nil, cli.Usage(err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

var causeColumns = []terminal.Column{
	{Title: "failed", Right: true}, {Title: "cause"}, {Title: "example"}, {Title: "which was", Drop: 1},
}

// printCauses prints a row for each cause, then the example of each.
func printCauses(w io.Writer, width int, s *explain.Summary) error {
	about := fmt.Sprintf("%s: %d done in time, %d failed, %d open at the end", cli.Count(s.Requests, "request"), s.Done, s.Failed, s.Open)
	if s.Forgotten > 0 {
		about += fmt.Sprintf(", %d whose front door was lost", s.Forgotten)
	}
	if s.Withdrawn > 0 {
		about += fmt.Sprintf(", %d withdrawn by their clients", s.Withdrawn)
	}
	fmt.Fprintln(w, cli.Folded(about, width))
	if s.Failed == 0 {
		return nil
	}
	return printGroups(w, width, s.Causes)
}

func printGroups(w io.Writer, width int, groups []explain.Group) error {
	fmt.Fprintln(w)
	var rows [][]string
	for _, g := range groups {
		rows = append(rows, []string{strconv.Itoa(g.Count), string(g.Cause), g.Example.ID, g.Outcome})
	}
	if err := terminal.WriteTable(w, width, causeColumns, rows); err != nil {
		return err
	}
	for _, g := range groups {
		fmt.Fprintf(w, "\n%s\n", story(g.Example, width))
	}
	return nil
}

// story returns an explanation folded to a terminal's width; without a terminal each
// link is one line.
func story(e *explain.Explanation, width int) string {
	if width == 0 {
		return e.String()
	}
	var lines []string
	for line := range strings.SplitSeq(e.String(), "\n") {
		at := min(len(line), explain.Margin)
		if strings.TrimSpace(line[:at]) == line[:at] { // the first line
			at = 0
		}
		// Keep a number and its unit on one line.
		text := strings.ReplaceAll(line[at:], " ms", cli.NoBreak+"ms")
		lines = append(lines, strings.ReplaceAll(cli.Hanging(line[:at], text, width, max(at, 2)), cli.NoBreak, " "))
	}
	return strings.Join(lines, "\n")
}
