// Package metrics lets Prometheus see what the services of a process do: counters
// and histograms that follow what a watch.Hub tells, gauges that are read when
// somebody scrapes, and an HTTP server for both and for the probes /livez and
// /readyz.
//
//	m := metrics.New(hub, metrics.Defaults()) // before the services start
//	server, err := metrics.Listen("127.0.0.1:9464", m, log)
//	defer server.Close()
//
// docs/metrics.md has each metric with the question that it answers. All durations
// are in seconds. Histograms are native ones (8 buckets to each power of two) and,
// unless they are of one model, classic ones too.
//
// A label has a bounded number of values, whatever clients, workers and model
// directories are called: beyond the first Config.Models models, or maxTenants
// tenants, or maxGPUs GPUs, what comes is counted together under the value "other".
//
// Being told takes no lock and allocates nothing, but for the first time that a
// model, a tenant, a GPU or a code appears. Nothing here polls: a process that
// nobody scrapes and that has nothing to do does not wake.
package metrics
