package lab

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/client"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/explain"
	"clockwork/pkg/watch/terminal"
)

// liveReport is the output of explain --json for the running stack: as for a recording,
// plus the front doors' records.
type liveReport struct {
	Epoch    uint64           `json:"epoch,omitempty"` // of the scheduler; 0: none answered
	Since    *time.Time       `json:"since,omitempty"`
	Summary  *explain.Summary `json:"summary,omitempty"`
	Requests []liveRequest    `json:"requests"`
}

// liveRequest is a request as its front door and the scheduler know it; either may have
// forgotten it.
type liveRequest struct {
	explain.LiveExplanation
	FrontDoor *protocol.DoorRequest `json:"front_door,omitempty"`
}

// explainLive queries the stack about requests, or about recent misses.
func explainLive(c *cli.Flags, con *cli.Console, ids []string) error {
	if len(ids) > protocol.MaxQuestionIDs {
		return cli.Usagef("%d requests at a time are too many; ask about %d at most", len(ids), protocol.MaxQuestionIDs)
	}
	ctx, cancel := cli.Interruptible()
	defer cancel()
	stack, err := c.Connect()
	if err != nil {
		return err
	}
	defer stack.Close()
	report, err := askWhy(ctx, stack, ids)
	if err != nil {
		return cli.Interrupted(ctx, err)
	}
	absent := report.without(ids)
	switch {
	case c.JSON:
		err = cli.PrintJSON(con.Out, report)
	case len(ids) > 0:
		report.print(con)
	default:
		err = report.printMisses(con)
	}
	if err == nil && len(absent) > 0 {
		fmt.Fprintf(con.Err, "clockwork: not known: %s\nA front door remembers the latest 16,384 requests that it served and 8,192 that it did not;\na recording (--record) remembers all.\n", strings.Join(absent, ", "))
		return cli.ErrShown
	}
	return err
}

// askWhy queries the front doors and the scheduler. One answer is enough.
func askWhy(ctx context.Context, stack *client.Client, ids []string) (*liveReport, error) {
	doors, noDoor := stack.AskDoors(ctx, protocol.Question{IDs: ids})
	of := inOrder(ids, doors)
	q := protocol.Question{}
	for _, r := range of {
		if len(ids) > 0 && r.ID != "" && len(q.IDs) < protocol.MaxQuestionIDs {
			q.IDs = append(q.IDs, r.ID)
		}
	}
	report := &liveReport{Requests: []liveRequest{}}
	told := &explain.Report{}
	var noScheduler *protocol.Error
	if len(ids) == 0 || len(q.IDs) > 0 {
		told, noScheduler = askScheduler(ctx, stack, q)
	}
	if noScheduler != nil && noScheduler.Code == protocol.BadMessage { // another program answers for it
		return nil, noScheduler
	}
	if noDoor != nil && (noScheduler != nil || len(of) == 0) {
		return nil, noDoor
	}
	report.Epoch, report.Since, report.Summary = told.Epoch, told.Since, told.Summary
	for _, r := range of {
		report.add(r, told.Requests)
	}
	return report, nil
}

// askScheduler asks again for what did not fit into an answer. The report is empty where there
// is an error.
func askScheduler(ctx context.Context, stack *client.Client, q protocol.Question) (*explain.Report, *protocol.Error) {
	told, refusal := stack.AskScheduler(ctx, q)
	if refusal != nil {
		return &explain.Report{}, refusal
	}
	for left := told.LeftOut; len(left) > 0; {
		more, refusal := stack.AskScheduler(ctx, protocol.Question{IDs: left})
		if refusal != nil || len(more.LeftOut) >= len(left) {
			return told, refusal
		}
		told.Requests, left = append(told.Requests, more.Requests...), more.LeftOut
	}
	return told, nil
}

// inOrder sorts the front doors' records by the order of the ids, for one id the latest
// first. A request unknown to the front doors may be known to the scheduler, so its id
// is included.
func inOrder(ids []string, doors []protocol.DoorRecord) (list []*protocol.DoorRequest) {
	var all []*protocol.DoorRequest
	for i := range doors {
		for j := range doors[i].Requests {
			all = append(all, &doors[i].Requests[j])
		}
	}
	slices.SortStableFunc(all, func(a, b *protocol.DoorRequest) int { return b.Arrived.Compare(a.Arrived) })
	if len(ids) == 0 {
		return all[:min(len(all), protocol.MaxAlike)]
	}
	for _, text := range ids {
		exact := asRequest(text)
		found := false
		for _, r := range all {
			if r.ClientID == text || r.ID == exact && exact != "" {
				list, found = append(list, r), true
			}
		}
		if !found && exact != "" {
			list = append(list, &protocol.DoorRequest{ID: exact})
		}
	}
	return list
}

// asRequest returns text in the printed form of a request's id, "" if it is a client's
// id.
func asRequest(text string) string {
	id, err := protocol.ParseRequestID(text)
	if err != nil {
		return ""
	}
	return id.String()
}

// add adds a request, if the front door or the scheduler knows it.
func (report *liveReport) add(r *protocol.DoorRequest, told []explain.LiveExplanation) {
	of := liveRequest{FrontDoor: r}
	if r.Arrived.IsZero() {
		of.FrontDoor = nil
	}
	if at := slices.IndexFunc(told, func(t explain.LiveExplanation) bool { return t.ID == r.ID }); at >= 0 {
		of.LiveExplanation = told[at]
		of.disagree(r)
	} else {
		of.LiveExplanation = explain.LiveExplanation{Explanation: &explain.Explanation{ID: r.ID, Model: r.Model, Outcome: doorOutcome(r), Timeline: []explain.Link{}}, Arrived: r.Arrived}
	}
	if of.FrontDoor != nil || len(of.Timeline) > 0 {
		report.Requests = append(report.Requests, of)
	}
}

// disagree corrects the outcome if the worker ended in time but too late for the front
// door, which alone answers.
func (of *liveRequest) disagree(r *protocol.DoorRequest) {
	if r.Code == "" || r.Code == protocol.OK || !strings.HasPrefix(of.Outcome, "done") {
		return
	}
	e := *of.Explanation
	e.Outcome = fmt.Sprintf("refused %s by its front door, %s at the worker", r.Code, e.Outcome)
	of.Explanation = &e
}

func doorOutcome(r *protocol.DoorRequest) string {
	switch r.Code {
	case "":
		return "open"
	case protocol.OK:
		return "done in time"
	}
	return "refused " + string(r.Code)
}

// without returns the ids about which nothing is known.
func (report *liveReport) without(ids []string) (absent []string) {
	for _, id := range ids {
		if !slices.ContainsFunc(report.Requests, func(r liveRequest) bool {
			return r.ID == asRequest(id) || r.FrontDoor != nil && r.FrontDoor.ClientID == id
		}) {
			absent = append(absent, id)
		}
	}
	return absent
}

// print prints the explanation of each request.
func (report *liveReport) print(con *cli.Console) {
	width := con.Display.Width()
	for i, r := range report.Requests {
		if i > 0 {
			fmt.Fprintln(con.Out)
		}
		head, chain, _ := strings.Cut(story(r.Explanation, width), "\n")
		fmt.Fprintln(con.Out, head)
		if r.FrontDoor != nil {
			fmt.Fprint(con.Out, doorStory(r.FrontDoor, width))
		}
		switch {
		case chain != "":
			fmt.Fprintf(con.Out, "At the scheduler, from %s on:\n%s\n", clockText(r.Arrived), chain)
		case report.Epoch == 0:
			fmt.Fprintln(con.Out, "No scheduler answers that could say more.")
		default:
			fmt.Fprintln(con.Out, "The scheduler knows nothing of it: it never got there, or was forgotten.")
		}
	}
}

func clockText(t time.Time) string { return t.Local().Format("15:04:05.000") }

// parts returns where the time of a request went, in order.
func parts(r *protocol.DoorRequest) (names []string, ms []float64) {
	return []string{"to dispatch", "queue", "input", "execution", "output", "the rest"},
		[]float64{r.SchedulerMS, r.QueueMS, r.InputMS, r.ExecMS, r.OutputMS, r.ReplyMS}
}

// doorStory describes a request as its front door saw it: how it ended, and where its
// time went.
func doorStory(r *protocol.DoorRequest, width int) string {
	var b strings.Builder
	text := fmt.Sprintf("Arrived at %s with %s", clockText(r.Arrived), milli(r.SLOMS))
	if r.SLOMS == 0 {
		text = "Arrived at " + clockText(r.Arrived)
	}
	if r.ClientID != "" {
		text = fmt.Sprintf("%q arrived%s", r.ClientID, strings.TrimPrefix(text, "Arrived"))
	}
	if r.BufferedMS > 0 {
		text += fmt.Sprintf(", after %s in the buffer", milli(r.BufferedMS))
	}
	switch r.Code {
	case "":
		text += "; it has no answer yet"
	case protocol.OK:
		text += fmt.Sprintf("; answered after %s by %s at batch size %d", milli(r.LatencyMS), r.Worker, r.Batch)
		if r.Cold {
			text += ", its weights loaded first"
		}
	default:
		text += fmt.Sprintf("; after %s %s: %s", milli(r.LatencyMS), r.Code, r.Why)
	}
	fmt.Fprintln(&b, cli.Folded(text, width))
	if r.Code != protocol.OK || r.LatencyMS <= 0 {
		return b.String()
	}
	names, ms := parts(r)
	room := max(8, min(40, max(width, 80)-36))
	for i, name := range names {
		bar := strings.Repeat("█", int(ms[i]/r.LatencyMS*float64(room)+0.5))
		fmt.Fprintln(&b, strings.TrimRight(fmt.Sprintf("  %-12s %10s  %s", name, milli(ms[i]), bar), " "))
	}
	return b.String()
}

func milli(ms float64) string { return terminal.Duration(time.Duration(ms * 1e6)) }

var missColumns = []terminal.Column{{Title: "at"}, {Title: "request"}, {Title: "client's id", Drop: 1}, {Title: "model", Drop: 2}, {Title: "code"}}

// printMisses prints the recent misses.
func (report *liveReport) printMisses(con *cli.Console) error {
	width := con.Display.Width()
	if s := report.Summary; s != nil {
		about := fmt.Sprintf("%s since the scheduler of epoch %d began: %d done in time, %d failed, %d open", cli.Count(s.Requests, "request"), report.Epoch, s.Done, s.Failed, s.Open)
		if len(s.Causes) > 0 {
			about += fmt.Sprintf(". Those that failed since %s, by cause:", clockText(*report.Since))
		}
		fmt.Fprintln(con.Out, cli.Folded(about, width))
		if len(s.Causes) > 0 {
			if err := printGroups(con.Out, width, s.Causes); err != nil {
				return err
			}
		}
	} else {
		fmt.Fprintln(con.Out, "No scheduler is active.")
	}
	var rows [][]string
	for _, r := range report.Requests {
		d := r.FrontDoor
		rows = append(rows, []string{clockText(d.Arrived), dash(d.ID), dash(d.ClientID), dash(d.Model), string(d.Code)})
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(con.Out, "Front doors remember no request that they did not serve.")
		return err
	}
	fmt.Fprintln(con.Out, "\nThe latest that front doors did not serve:")
	return terminal.WriteTable(con.Out, width, missColumns, rows)
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
