// Package metrics exports what the services of a process do to Prometheus: counters and
// histograms that follow a watch.Hub, gauges that are read at each scrape, and an HTTP
// server for both and for the probes /livez and /readyz.
//
//	m := metrics.New(hub, metrics.Config{Models: 100}) // before the services start
//	server, err := metrics.Listen("127.0.0.1:9464", m, log)
//	defer server.Close()
//
// docs/metrics.md lists each metric with the question that it answers. All durations are
// in seconds. Histograms are native (8 buckets per power of two); all but those per
// model also have classic buckets.
//
// A label has a bounded number of values, whatever clients, workers and model
// directories are called: beyond the first Config.Models models, maxTenants tenants or
// maxGPUs GPUs, the rest is counted together under the value "other".
//
// Listeners take no lock and allocate nothing, except when a model, a tenant, a GPU or a
// code appears for the first time. Nothing here polls: an idle process that is not
// scraped does not wake.
package metrics
