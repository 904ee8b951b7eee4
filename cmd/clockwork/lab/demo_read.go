package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"clockwork/cmd/clockwork/ask"
	"clockwork/pkg/adapter/fetch"
	"clockwork/pkg/client"
	"clockwork/pkg/lab/ocr"
	"clockwork/pkg/lab/report"
	"clockwork/pkg/protocol"
	"clockwork/pkg/watch/terminal"
)

const (
	// phrasesShown is how many pictures are shown; more are read while requests go to
	// all models.
	phrasesShown = 4
	// pictureWidth is how many columns of a terminal a picture takes.
	pictureWidth = 64
	// readSLO is generous: the demo shows that text is read, on any machine, and reports
	// how long it took.
	readSLO = 3 * time.Second
)

// reader draws text and reads it back through the stack.
type reader struct {
	client *client.Client
	keys   *ocr.Keys
}

func newReader(c *client.Client, models string) (*reader, error) {
	file, err := os.Open(filepath.Join(models, fetch.OCRModel, fetch.OCRKeys))
	if err != nil {
		return nil, fmt.Errorf("open the model's alphabet: %w", err)
	}
	defer file.Close()
	keys, err := ocr.ReadKeys(file)
	if err != nil {
		return nil, err
	}
	return &reader{c, keys}, nil
}

// read sends the picture to the recognition model and decodes its answer.
func (r *reader) read(ctx context.Context, picture *ocr.Picture, slo time.Duration) (ocr.Reading, report.Sample, error) {
	ms := float64(slo) / float64(time.Millisecond)
	request := &protocol.InferRequest{
		Parameters: protocol.InferParameters{SLOMS: &ms},
		Inputs: []protocol.Tensor{{
			Name: "x", Datatype: protocol.FP32, Shape: append([]int64{1}, picture.Shape()...), Data: picture.Tensor(),
		}},
	}
	sample, response, refusal := ask.Infer(ctx, r.client, fetch.OCRModel, request, slo, 0)
	if refusal != nil {
		return ocr.Reading{}, sample, refusal
	}
	if len(response.Outputs) != 1 || len(response.Outputs[0].Shape) != 3 {
		return ocr.Reading{}, sample, fmt.Errorf("%s answered with %d outputs", fetch.OCRModel, len(response.Outputs))
	}
	out := response.Outputs[0]
	reading, err := r.keys.Decode(out.Data, out.Shape[1:])
	return reading, sample, err
}

// read shows pictures, each with the text that the model reads in it.
func (d *demo) read(ctx context.Context) error {
	r, err := newReader(d.Client, d.models)
	if err != nil {
		return err
	}
	wrong := 0
	for i := range phrasesShown {
		phrase := ocr.Phrase(i)
		picture, err := ocr.Draw(phrase, ocr.Width)
		if err != nil {
			return err
		}
		d.Line("\n" + picture.Text(pictureWidth))
		reading, sample, err := r.read(ctx, picture, readSLO)
		if err != nil {
			return fmt.Errorf("read %q: %w", phrase, err)
		}
		d.Line(fmt.Sprintf("drawn %-22q read %-22q %s, %.1f %% sure", phrase, reading.Text,
			terminal.Duration(sample.Latency), 100*reading.Confidence))
		if reading.Text != phrase {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d phrases were not read as drawn", wrong, phrasesShown)
	}
	return nil
}
