package main

import (
	"strings"
	"testing"
)

func TestWrongTraceSettingsAreWrongUsage(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	for _, row := range []struct{ variable, value, args, says string }{
		{"OTEL_TRACES_EXPORTER", "zipkin", "scheduler", "otlp, console nor none"},
		{"OTEL_TRACES_SAMPLER", "sometimes", "up", "always_on"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "controller", "http://127.0.0.1:4318"},
		{"TRACEPARENT", "00-1-2-3", "infer m", "--traceparent"},
		{"", "", "infer m --traceparent me", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	} {
		t.Run(row.variable, func(t *testing.T) {
			if row.variable != "" {
				t.Setenv(row.variable, row.value)
			}
			code, _, stderr := invoke(t, strings.Fields(row.args)...)
			if code != 2 || !strings.Contains(stderr, row.says) {
				t.Errorf("exit code %d, wanted 2 and %q in:\n%s", code, row.says, stderr)
			}
		})
	}
}
