package trace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"

	"clockwork/pkg/watch"
)

// Bounds of the queue of spans to create, and of how long Close may take to export them.
const (
	maxWaiting = 4096
	closeWait  = 5 * time.Second
)

// Tracer records what a hub reports.
type Tracer struct {
	config   Config
	provider *sdk.TracerProvider
	spans    api.Tracer
	losses   losses
	hurry    context.CancelFunc // cancels exports

	waiting chan func() // functions that create spans
	stop    chan struct{}
	done    sync.WaitGroup

	submissions
}

// Open returns a tracer that is attached to a hub.
func Open(config Config, hub *watch.Hub, log *slog.Logger) (*Tracer, error) {
	exporters, err := open(config, os.Stdout)
	if err != nil {
		return nil, fmt.Errorf("open traces: %w", err)
	}
	return attach(config, hub, log, exporters...)
}

// open opens the exporters of a config.
func open(config Config, console io.Writer) (list []sdk.SpanExporter, err error) {
	for _, name := range config.Exporters {
		var e sdk.SpanExporter
		switch {
		case name == "console":
			e, err = stdouttrace.New(stdouttrace.WithWriter(console))
		case config.Protocol == "grpc":
			e, err = otlptracegrpc.New(context.Background())
		default:
			e, err = otlptracehttp.New(context.Background())
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	return list, nil
}

// attach is Open with the caller's exporters.
func attach(config Config, hub *watch.Hub, log *slog.Logger, exporters ...sdk.SpanExporter) (*Tracer, error) {
	from, err := origin()
	if err != nil {
		return nil, err
	}
	t := &Tracer{
		config: config, losses: losses{log: log}, submissions: newSubmissions(),
		waiting: make(chan func(), maxWaiting), stop: make(chan struct{}),
	}
	var until context.Context
	until, t.hurry = context.WithCancel(context.Background())
	options := []sdk.TracerProviderOption{
		sdk.WithResource(from),
		sdk.WithSampler(sdk.AlwaysSample()), // requests were sampled at their arrival
		sdk.WithIDGenerator(ids{}),
	}
	for _, e := range exporters {
		// A full batch blocks only run; `later` counts what is lost when the queue is
		// full.
		options = append(options, sdk.WithBatcher(&outlet{e, until, &t.losses}, sdk.WithBlocking()))
	}
	t.provider = sdk.NewTracerProvider(options...)
	t.spans = t.provider.Tracer("clockwork")
	t.done.Go(t.run)
	hub.OnArrival(t.arrived)
	hub.OnRequest(t.answered)
	hub.OnSubmission(t.submitted)
	hub.OnAction(t.acted)
	hub.OnRefusal(t.refused)
	hub.ReportLoss("traces", t.Lost)
	return t, nil
}

// origin describes the process that the spans come from. The variables take precedence.
func origin() (*resource.Resource, error) {
	r, err := resource.New(context.Background(),
		resource.WithAttributes(attribute.String("service.name", "clockwork")),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithFromEnv())
	if errors.Is(err, resource.ErrPartialResource) {
		return r, nil // some properties of the host are unknown
	}
	return r, err
}

// later queues the creation of spans. If the queue is full they are lost.
func (t *Tracer) later(make func()) {
	select {
	case t.waiting <- make:
	default:
		t.losses.unheard.Add(1)
	}
}

// Lost returns the number of losses: spans that could not be exported, and requests or
// attempts that found the queue full.
func (t *Tracer) Lost() int64 { return t.losses.unheard.Load() + t.losses.failed.Load() }

// run creates spans until stop, and then those still queued.
func (t *Tracer) run() {
	for {
		select {
		case make := <-t.waiting:
			make()
			continue
		case <-t.stop:
		}
		for {
			select {
			case make := <-t.waiting:
				make()
			default:
				return
			}
		}
	}
}

// Close exports the queued spans, within closeWait. It is called when the services have
// stopped. Lost traces are not an error.
func (t *Tracer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	defer context.AfterFunc(ctx, t.hurry)()
	close(t.stop)
	t.done.Wait()
	_ = t.provider.Shutdown(ctx) // losses count the spans that were not exported
	t.losses.reportAll()
	return nil
}
