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

// Bounds of what waits to become spans, and of how long Close may take to export them.
const (
	maxWaiting = 4096
	closeWait  = 5 * time.Second
)

// Tracer records what a hub tells.
type Tracer struct {
	config   Config
	provider *sdk.TracerProvider
	spans    api.Tracer
	losses   losses
	hurry    context.CancelFunc // ends exports

	waiting chan func() // makes spans
	stop    chan struct{}
	done    sync.WaitGroup

	submissions
}

// Open makes a tracer and attaches it to a hub.
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

// attach is Open with exporters of the caller's.
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
		sdk.WithSampler(sdk.AlwaysSample()), // what gets here was chosen at its arrival
		sdk.WithIDGenerator(ids{}),
	}
	for _, e := range exporters {
		// A full batch blocks run alone; what is lost for want of room, later counts.
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

// origin says of which process the spans are. The variables win.
func origin() (*resource.Resource, error) {
	r, err := resource.New(context.Background(),
		resource.WithAttributes(attribute.String("service.name", "clockwork")),
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithProcessPID(),
		resource.WithFromEnv())
	if errors.Is(err, resource.ErrPartialResource) {
		return r, nil // what the machine does not tell
	}
	return r, err
}

// later has spans made. What finds no room is lost.
func (t *Tracer) later(make func()) {
	select {
	case t.waiting <- make:
	default:
		t.losses.unheard.Add(1)
	}
}

// Lost counts what was lost: spans that could not be exported, and requests, or
// attempts at one, that found no room.
func (t *Tracer) Lost() int64 { return t.losses.unheard.Load() + t.losses.failed.Load() }

// run makes spans until stop, and then of what waits still.
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

// Close exports what is there, as far as that takes no longer than it may. It is
// called when the services have stopped. That traces are lost is no failure.
func (t *Tracer) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	defer context.AfterFunc(ctx, t.hurry)()
	close(t.stop)
	t.done.Wait()
	_ = t.provider.Shutdown(ctx) // what was not exported, the losses tell
	t.losses.reportAll()
	return nil
}
