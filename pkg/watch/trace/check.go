package trace

import (
	"context"
	"net/url"
	"os"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/sdk/resource"
)

// Settings that the SDK would only warn about in a log, and then ignore, are errors
// here: whoever sets a variable wants its effect.

// named is a variable that is set, and its value.
type named struct{ variable, value string }

// setting returns the OTLP variable for traces if it is set, or else the one for all
// signals; if neither is set, the latter's name with no value.
func setting(name string) named {
	for _, prefix := range []string{"OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"} {
		if v := value(prefix + name); v != "" {
			return named{prefix + name, v}
		}
	}
	return named{"OTEL_EXPORTER_OTLP_" + name, ""}
}

// checkOTLP checks the settings for reaching a collector, and returns the protocol.
func checkOTLP() (protocol string, err error) {
	if at := setting("ENDPOINT"); at.value != "" {
		u, err := url.Parse(at.value)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return "", wrong(at.variable, "%q is no URL such as http://127.0.0.1:4318", at.value)
		}
	}
	if h := setting("HEADERS"); h.value != "" {
		for pair := range strings.SplitSeq(h.value, ",") {
			name, text, found := strings.Cut(pair, "=")
			_, err := url.PathUnescape(text)
			if !found || strings.TrimSpace(name) == "" || err != nil {
				return "", wrong(h.variable, "it is no list of name=value with commas between") // its values are secrets
			}
		}
	}
	if t := setting("TIMEOUT"); t.value != "" {
		if err := positive(t, "milliseconds"); err != nil {
			return "", err
		}
	}
	if c := setting("COMPRESSION"); c.value != "" {
		if err := oneOf(c.variable, c.value, "gzip", "none"); err != nil {
			return "", err
		}
	}
	if _, err := flag(setting("INSECURE").variable); err != nil {
		return "", err
	}
	for _, file := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		if f := setting(file); f.value != "" {
			if _, err := os.ReadFile(f.value); err != nil {
				return "", wrong(f.variable, "%v", err)
			}
		}
	}
	p := setting("PROTOCOL")
	if p.value == "" {
		return "http/protobuf", nil
	}
	return p.value, oneOf(p.variable, p.value, "http/protobuf", "http/json", "grpc")
}

// checkSDK checks the variables that the SDK reads for the resource and its limits.
func checkSDK() error {
	if _, err := resource.New(context.Background(), resource.WithFromEnv()); err != nil {
		return wrong("OTEL_RESOURCE_ATTRIBUTES", "it is no list of name=value with commas between")
	}
	for _, n := range []struct{ variable, unit string }{
		{"OTEL_BSP_SCHEDULE_DELAY", "milliseconds"},
		{"OTEL_BSP_EXPORT_TIMEOUT", "milliseconds"},
		{"OTEL_BSP_MAX_QUEUE_SIZE", "spans"},
		{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "spans"},
		{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "attributes"},
		{"OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "bytes"},
		{"OTEL_SPAN_EVENT_COUNT_LIMIT", "events"},
	} {
		if v := value(n.variable); v != "" {
			if err := positive(named{n.variable, v}, n.unit); err != nil {
				return err
			}
		}
	}
	return nil
}

func positive(n named, unit string) error {
	if v, err := strconv.Atoi(n.value); err != nil || v <= 0 {
		return wrong(n.variable, "%q is no positive number of %s", n.value, unit)
	}
	return nil
}
