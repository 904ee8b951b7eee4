package trace

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

// environment sets variables, and unsets all others of OpenTelemetry.
func environment(t *testing.T, set string) {
	t.Helper()
	for _, pair := range os.Environ() {
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
	for pair := range strings.FieldsSeq(set) {
		name, value, _ := strings.Cut(pair, "=")
		t.Setenv("OTEL_"+name, value)
	}
}

func TestOnlyAnExporterOrACollectorAsksForTraces(t *testing.T) {
	for set, want := range map[string]string{
		"":                          "",
		"SERVICE_NAME=x":            "",
		"TRACES_EXPORTER=none":      "",
		"TRACES_SAMPLER=nonsense":   "", // nobody asks it
		"TRACES_EXPORTER=otlp":      "[otlp] http/protobuf",
		"TRACES_EXPORTER=console":   "[console] ",
		"TRACES_EXPORTER=otlp,OTLP": "[otlp] http/protobuf",
		"TRACES_EXPORTER=otlp,console EXPORTER_OTLP_PROTOCOL=grpc":                             "[console otlp] grpc",
		"EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318":                                         "[otlp] http/protobuf",
		"EXPORTER_OTLP_TRACES_ENDPOINT=https://h/v1":                                           "[otlp] http/protobuf",
		"EXPORTER_OTLP_ENDPOINT=http://h EXPORTER_OTLP_TRACES_PROTOCOL=http/json":              "[otlp] http/json",
		"EXPORTER_OTLP_ENDPOINT=http://h TRACES_EXPORTER=none":                                 "",
		"EXPORTER_OTLP_ENDPOINT=http://h SDK_DISABLED=TRUE":                                    "",
		"EXPORTER_OTLP_ENDPOINT=http://h SDK_DISABLED=false EXPORTER_OTLP_HEADERS=a=b,c=d%20e": "[otlp] http/protobuf",
	} {
		t.Run(set, func(t *testing.T) {
			environment(t, set)
			c, err := FromEnvironment()
			got := ""
			if c != nil {
				got = fmt.Sprintf("%v %s", c.Exporters, c.Protocol)
			}
			if err != nil || got != want {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		})
	}
}

func TestAWrongValueNamesItsVariable(t *testing.T) {
	for set, says := range map[string]string{
		"SDK_DISABLED=yes":                                               `OTEL_SDK_DISABLED: "yes" is neither true nor false`,
		"TRACES_EXPORTER=zipkin":                                         `OTEL_TRACES_EXPORTER: "zipkin" is neither otlp, console nor none`,
		"TRACES_EXPORTER=none,otlp":                                      "none stands alone",
		"TRACES_SAMPLER=some":                                            "always_on",
		"TRACES_SAMPLER_ARG=2 TRACES_SAMPLER=traceidratio":               "OTEL_TRACES_SAMPLER_ARG",
		"TRACES_SAMPLER_ARG=NaN TRACES_SAMPLER=parentbased_traceidratio": "no share from 0 to 1",
		"PROPAGATORS=b3":                                                 "tracecontext",
		"EXPORTER_OTLP_ENDPOINT=h:4318":                                  "http://127.0.0.1:4318",
		"EXPORTER_OTLP_TRACES_ENDPOINT=/v1":                              "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
		"EXPORTER_OTLP_HEADERS=token":                                    "name=value",
		"EXPORTER_OTLP_TIMEOUT=10s":                                      "milliseconds",
		"EXPORTER_OTLP_COMPRESSION=zip":                                  "gzip",
		"EXPORTER_OTLP_PROTOCOL=udp":                                     "grpc",
		"EXPORTER_OTLP_INSECURE=1":                                       "OTEL_EXPORTER_OTLP_INSECURE",
		"EXPORTER_OTLP_CERTIFICATE=nowhere":                              "nowhere",
		"BSP_MAX_QUEUE_SIZE=0":                                           "OTEL_BSP_MAX_QUEUE_SIZE",
		"RESOURCE_ATTRIBUTES=a":                                          "OTEL_RESOURCE_ATTRIBUTES",
	} {
		t.Run(set, func(t *testing.T) {
			environment(t, "TRACES_EXPORTER=otlp "+set)
			c, err := FromEnvironment()
			if c != nil || err == nil || !strings.HasPrefix(err.Error(), "OTEL_") || !strings.Contains(err.Error(), says) {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

// TestHeadersOfACollectorAreNotTold: they hold keys.
func TestHeadersOfACollectorAreNotTold(t *testing.T) {
	environment(t, "TRACES_EXPORTER=otlp EXPORTER_OTLP_HEADERS=secret")
	if _, err := FromEnvironment(); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestTheResourceIsTheVariables(t *testing.T) {
	for set, want := range map[string]string{
		"": "clockwork",
		"RESOURCE_ATTRIBUTES=service.name=a,team=b":                "a",
		"SERVICE_NAME=c RESOURCE_ATTRIBUTES=service.name=a,team=b": "c",
	} {
		environment(t, set)
		r, err := origin()
		if err != nil {
			t.Fatal(err)
		}
		if name, _ := r.Set().Value("service.name"); name.AsString() != want {
			t.Errorf("%q: service.name is %q", set, name.AsString())
		}
		if _, found := r.Set().Value("team"); found != strings.Contains(set, "team") {
			t.Errorf("%q: %v", set, r)
		}
	}
}

func TestEveryExporterOpens(t *testing.T) {
	environment(t, "")
	for _, c := range []Config{
		{Exporters: []string{"console"}}, {Exporters: []string{"otlp"}, Protocol: "http/protobuf"},
		{Exporters: []string{"otlp"}, Protocol: "http/json"}, {Exporters: []string{"console", "otlp"}, Protocol: "grpc"},
	} {
		list, err := open(c, io.Discard)
		if err != nil || len(list) != len(c.Exporters) {
			t.Errorf("%v: %d, %v", c, len(list), err)
		}
		for _, e := range list {
			if err := e.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestTheConsoleHasALineForEachSpan(t *testing.T) {
	var out strings.Builder
	list, err := open(Config{Exporters: []string{"console"}}, &out)
	if err != nil {
		t.Fatal(err)
	}
	spans := []sdk.ReadOnlySpan{tracetest.SpanStub{Name: "infer m"}.Snapshot(), tracetest.SpanStub{Name: "queue"}.Snapshot()}
	if err := list[0].ExportSpans(context.Background(), spans); err != nil || strings.Count(out.String(), "\n") != 2 || !strings.Contains(out.String(), `"infer m"`) {
		t.Errorf("%v: %s", err, &out)
	}
}
