package trace

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// Config holds the standard OTEL_ variables for traces. Those of the exporters, of the
// SDK's batches and limits and of the resource are read by the SDK; FromEnvironment has
// checked them.
type Config struct {
	// Exporters is a subset of "otlp" and "console".
	Exporters []string
	// Protocol is the transport of otlp: "http/protobuf", "http/json" or "grpc".
	Protocol string
	// Sampler decides which requests are recorded.
	Sampler sdk.Sampler
	// Propagate: continue clients' traces. Otherwise each request begins a trace.
	Propagate bool
}

// FromEnvironment reads the OTEL_ variables, and returns nil if they enable no traces:
// only OTEL_TRACES_EXPORTER and a collector's endpoint do. The error names the variable.
func FromEnvironment() (*Config, error) {
	disabled, err := flag("OTEL_SDK_DISABLED")
	if err != nil || disabled {
		return nil, err
	}
	c := &Config{}
	if c.Exporters, err = exporters(); err != nil || len(c.Exporters) == 0 {
		return nil, err
	}
	if c.Sampler, err = sampler(); err != nil {
		return nil, err
	}
	if c.Propagate, err = propagates(); err != nil {
		return nil, err
	}
	if slices.Contains(c.Exporters, "otlp") {
		if c.Protocol, err = checkOTLP(); err != nil {
			return nil, err
		}
	}
	if err := checkSDK(); err != nil {
		return nil, err
	}
	return c, nil
}

// exporters returns the exporters that the variables enable.
func exporters() ([]string, error) {
	const variable = "OTEL_TRACES_EXPORTER"
	list := words(variable)
	if len(list) == 0 {
		if setting("ENDPOINT").value == "" {
			return nil, nil
		}
		list = []string{"otlp"}
	}
	for _, name := range list {
		if err := oneOf(variable, name, "otlp", "console", "none"); err != nil {
			return nil, err
		}
	}
	if slices.Contains(list, "none") {
		if len(list) > 1 {
			return nil, wrong(variable, "none stands alone")
		}
		return nil, nil
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// sampler returns the SDK's choice, but an error where the SDK would fall back to a
// default.
func sampler() (sdk.Sampler, error) {
	const variable, argument = "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"
	name, ratio := strings.ToLower(value(variable)), 1.0
	if text := value(argument); strings.HasSuffix(name, "traceidratio") && text != "" {
		var err error
		if ratio, err = strconv.ParseFloat(text, 64); err != nil || !(ratio >= 0 && ratio <= 1) {
			return nil, wrong(argument, "%q is no share from 0 to 1", text)
		}
	}
	switch name {
	case "", "parentbased_always_on":
		return sdk.ParentBased(sdk.AlwaysSample()), nil
	case "parentbased_always_off":
		return sdk.ParentBased(sdk.NeverSample()), nil
	case "parentbased_traceidratio":
		return sdk.ParentBased(sdk.TraceIDRatioBased(ratio)), nil
	case "always_on":
		return sdk.AlwaysSample(), nil
	case "always_off":
		return sdk.NeverSample(), nil
	case "traceidratio":
		return sdk.TraceIDRatioBased(ratio), nil
	}
	return nil, wrong(variable, "%q is none of always_on, always_off, traceidratio, and the same after parentbased_", name)
}

// propagates reports whether clients' trace context is read. Baggage may be named in the
// list, but is not propagated.
func propagates() (bool, error) {
	const variable = "OTEL_PROPAGATORS"
	list := words(variable)
	for _, name := range list {
		if err := oneOf(variable, name, "tracecontext", "baggage", "none"); err != nil {
			return false, err
		}
	}
	return len(list) == 0 || slices.Contains(list, "tracecontext"), nil
}

// value returns a variable's value; an empty one counts as not set.
func value(variable string) string { return strings.TrimSpace(os.Getenv(variable)) }

// words returns the items of a variable that holds a list.
func words(variable string) (list []string) {
	for word := range strings.SplitSeq(strings.ToLower(value(variable)), ",") {
		if word = strings.TrimSpace(word); word != "" {
			list = append(list, word)
		}
	}
	return list
}

func flag(variable string) (bool, error) {
	text := strings.ToLower(value(variable))
	return text == "true", oneOf(variable, text, "", "true", "false")
}

func oneOf(variable, word string, known ...string) error {
	if slices.Contains(known, word) {
		return nil
	}
	known = slices.DeleteFunc(known, func(s string) bool { return s == "" })
	last := len(known) - 1
	return wrong(variable, "%q is neither %s nor %s", word, strings.Join(known[:last], ", "), known[last])
}

func wrong(variable, format string, args ...any) error {
	return fmt.Errorf("%s: %s", variable, fmt.Sprintf(format, args...))
}
