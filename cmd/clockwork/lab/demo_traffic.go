package lab

import (
	"context"
	"fmt"
	"path"
	"sync"
	"time"

	"clockwork/cmd/clockwork/ask"
	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/backend/onnx"
	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/lab/ocr"
	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

// trafficSLO can be met on two shared cores, where a processor may be unavailable for a
// hundred milliseconds and more.
const trafficSLO = 500 * time.Millisecond

// traffic is the requests to all models, and their outcomes.
type traffic struct {
	demo *demo
	// reader is nil without a recognition model.
	reader *reader
	total  int

	mu      sync.Mutex
	samples []report.Sample
	wrong   []string
	sending sync.WaitGroup
}

// traffic sends requests to all models at their rates and prints the table.
func (d *demo) traffic(ctx context.Context) error {
	t := &traffic{demo: d}
	if d.command.Backend == onnx.Name {
		r, err := newReader(d.Client, d.models)
		if err != nil {
			return err
		}
		t.reader = r
	}
	begin := time.Now()
	t.sendAll(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	summary := report.New(t.samples, time.Since(begin))
	d.Line("")
	if err := ask.PrintSummary(d.Progress, d.Progress.Display.Width(), summary); err != nil {
		return err
	}
	d.Line(fmt.Sprintf("The latency target was %s.", terminal.Duration(trafficSLO)))
	if err := verdict(summary.Total, t.wrong, t.demo.command.Misses); err != nil {
		return err
	}
	if t.reader != nil {
		d.Line("Every picture was read as it was drawn.")
	}
	return nil
}

// sendAll returns when every request has its outcome.
func (t *traffic) sendAll(ctx context.Context) {
	var streams sync.WaitGroup
	for _, l := range t.demo.loads {
		n := max(1, int(l.rate*t.demo.command.Duration.Seconds()))
		t.total += n * l.copies
		for _, name := range protocol.CopyNames(path.Base(l.path), l.copies) {
			streams.Go(func() { t.stream(ctx, name, n, l.rate) })
		}
	}
	streams.Wait()
	t.sending.Wait()
}

// stream sends to one model at even intervals, however long answers take.
func (t *traffic) stream(ctx context.Context, model string, n int, rate float64) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / rate))
	defer tick.Stop()
	for i := 0; i < n && ctx.Err() == nil; i++ {
		t.sending.Go(func() { t.send(ctx, model, i) })
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

func (t *traffic) send(ctx context.Context, model string, i int) {
	if model == fetch.OCRModel {
		t.sendPicture(ctx, phrasesShown+i)
		return
	}
	ms := float64(trafficSLO) / float64(time.Millisecond)
	request := &protocol.InferRequest{Parameters: protocol.InferParameters{SLOMS: &ms}}
	sample, _, _ := ask.Infer(ctx, t.demo.Client, model, request, trafficSLO, 0)
	t.add(sample, "")
}

func (t *traffic) sendPicture(ctx context.Context, i int) {
	phrase := ocr.Phrase(i)
	picture, err := ocr.Draw(phrase, ocr.Width)
	if err != nil {
		t.add(report.Sample{Model: fetch.OCRModel, Code: protocol.Internal}, err.Error())
		return
	}
	reading, sample, err := t.reader.read(ctx, picture, trafficSLO)
	wrong := ""
	if sample.Code == protocol.OK && (err != nil || reading.Text != phrase) {
		wrong = fmt.Sprintf("%q was read as %q", phrase, reading.Text)
	}
	t.add(sample, wrong)
}

func (t *traffic) add(s report.Sample, wrong string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.samples = append(t.samples, s)
	if wrong != "" {
		t.wrong = append(t.wrong, wrong)
	}
	t.demo.Bar("requests", len(t.samples), t.total, "answered")
}

// verdict returns an error if the run failed. Single misses are the machine's fault; any
// other error, more than the tolerated share of misses, or a wrongly read text is ours.
func verdict(total report.Summary, wrong []string, tolerated float64) error {
	for _, e := range total.Errors {
		if e.Code != protocol.DeadlineExceeded && e.Code != protocol.DeadlineUnmeetable {
			return fmt.Errorf("%s failed with %s", cli.Count(e.Count, "request"), e.Code)
		}
	}
	if missed := total.Requests - total.InSLO; float64(missed) > tolerated*float64(total.Requests) {
		return fmt.Errorf("%d of %d requests missed their latency target; is this machine busy?", missed, total.Requests)
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%s not read as drawn: %s", cli.Count(len(wrong), "picture"), wrong[0])
	}
	return nil
}
