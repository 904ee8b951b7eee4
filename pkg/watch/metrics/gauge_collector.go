package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"clockwork/pkg/protocol"
	"clockwork/pkg/watch"
)

// gaugeCollector reads the services' gauges at each scrape. Services of one kind in a
// process are summed up, except for workers.
type gaugeCollector struct{ reader *reader }

// Describe implements prometheus.Collector. It describes nothing, which makes the
// registry check the collected metrics instead: they depend on the services.
func (r *gaugeCollector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (r *gaugeCollector) Collect(to chan<- prometheus.Metric) {
	out := sink(to)
	for _, loss := range r.reader.hub.Losses() {
		out.put(listenerDrops, float64(loss.Lost), loss.Listener)
	}
	list, ok := r.reader.read()
	out.put(readable, truth(ok))
	if !ok {
		return
	}
	out.services(list)
	var door watch.FrontDoor
	var plan watch.Scheduler
	var doors, plans int
	gpus := 0
	for i := range list {
		switch l := &list[i]; {
		case l.FrontDoor != nil:
			doors++
			addDoor(&door, l.FrontDoor)
		case l.Scheduler != nil:
			plans++
			addScheduler(&plan, l.Scheduler)
		case l.Worker != nil:
			out.worker(l.Name, l.Worker, max(0, maxGPUs-gpus))
			gpus += len(l.Worker.GPUs)
		}
	}
	if doors > 0 {
		out.door(&door)
	}
	if plans > 0 {
		out.scheduler(&plan)
	}
}

func addDoor(sum, d *watch.FrontDoor) {
	sum.Stage, sum.Epoch = max(sum.Stage, d.Stage), max(sum.Epoch, d.Epoch)
	sum.InFlight += d.InFlight
	sum.Bytes += d.Bytes
	sum.EarlyBytes += d.EarlyBytes
	sum.Stored += d.Stored
	sum.Received += d.Received
	sum.Answered += d.Answered
	sum.Left += d.Left
	sum.Late += d.Late
}

func addScheduler(sum, s *watch.Scheduler) {
	if s.Active || sum.Workers == 0 {
		*sum = *s // the others are standbys, and count nothing
	}
}

// value is a metric that is read at scrape time.
type value struct {
	desc *prometheus.Desc
	is   prometheus.ValueType
}

func gauge(name, help string, labels ...string) value {
	return value{prometheus.NewDesc("clockwork_"+name, help, labels, nil), prometheus.GaugeValue}
}

func count(name, help string, labels ...string) value {
	return value{prometheus.NewDesc("clockwork_"+name, help, labels, nil), prometheus.CounterValue}
}

// sink sends values to the registry.
type sink chan<- prometheus.Metric

func (to sink) put(v value, x float64, labels ...string) {
	to <- prometheus.MustNewConstMetric(v.desc, v.is, x, labels...)
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Of the process.
var (
	listenerDrops = count("telemetry_lost_total", "What a listener to the services heard and could not keep, such as lines of a log.", "listener")
	readable      = gauge("readable", "1 if the services gave their numbers within 5 s, else 0, and those are missing.")
)

// Of every service.
var (
	ready        = gauge("ready", "1 if the services of a kind can do their work, else 0; /readyz says why.", "service")
	connected    = gauge("nats_connected", "1 if the services of a kind have their connections to the broker, else 0.", "service")
	roundTrip    = gauge("nats_round_trip_seconds", "Round trip of a ping of the broker, of the slowest service of a kind.", "service")
	dropped      = count("nats_dropped_total", "How often a subscription overflowed and lost messages.", "service")
	reconnects   = count("nats_reconnects_total", "How often a connection was lost and made again.", "service")
	messages     = count("nats_messages_total", "Messages by direction, in or out.", "service", "direction")
	messageBytes = count("nats_message_bytes_total", "Bytes of messages by direction, in or out.", "service", "direction")
)

// services puts the metrics of each kind of service.
func (to sink) services(list []watch.Gauges) {
	for _, kind := range []protocol.ServiceKind{protocol.Controller, protocol.FrontDoor, protocol.Profiler, protocol.Scheduler, protocol.Worker} {
		there, well := false, true
		var all *watch.Bus
		for i := range list {
			if l := &list[i]; l.Service == kind {
				there, well = true, well && len(unready(l)) == 0
				all = addBus(all, l.Bus)
			}
		}
		if there {
			to.put(ready, truth(well), string(kind))
		}
		if all != nil {
			to.bus(string(kind), all)
		}
	}
}

func addBus(sum, b *watch.Bus) *watch.Bus {
	if b == nil || sum == nil {
		return b
	}
	sum.Connected = sum.Connected && b.Connected
	sum.RoundTrip = max(sum.RoundTrip, b.RoundTrip)
	sum.Dropped += b.Dropped
	sum.Reconnects += b.Reconnects
	sum.MessagesIn, sum.MessagesOut = sum.MessagesIn+b.MessagesIn, sum.MessagesOut+b.MessagesOut
	sum.BytesIn, sum.BytesOut = sum.BytesIn+b.BytesIn, sum.BytesOut+b.BytesOut
	return sum
}

func (to sink) bus(service string, b *watch.Bus) {
	to.put(connected, truth(b.Connected), service)
	if b.RoundTrip > 0 {
		to.put(roundTrip, b.RoundTrip.Seconds(), service)
	}
	to.put(dropped, float64(b.Dropped), service)
	to.put(reconnects, float64(b.Reconnects), service)
	to.put(messages, float64(b.MessagesIn), service, "in")
	to.put(messages, float64(b.MessagesOut), service, "out")
	to.put(messageBytes, float64(b.BytesIn), service, "in")
	to.put(messageBytes, float64(b.BytesOut), service, "out")
}

// Of front doors.
var (
	stage         = gauge("stage", "1 for the stage that the stack is in, as the front door sees it, else 0.", "stage")
	doorEpoch     = gauge("frontdoor_scheduler_epoch", "Epoch of the scheduler that the front door hears as active, 0 for none.")
	received      = count("frontdoor_received_total", "Messages of clients that were taken.")
	doorAnswered  = count("frontdoor_answered_total", "Replies that were given.")
	left          = count("frontdoor_left_total", "Replies that were not sent, since the scheduler may have answered.")
	lateOutcomes  = count("frontdoor_late_outcomes_total", "Outcomes of requests that had their answer.")
	inFlight      = gauge("frontdoor_requests_in_flight", "Requests without an answer.")
	stored        = gauge("frontdoor_requests_stored", "Requests that wait for activation in the startup buffer, told by the controller that leads.")
	inFlightBytes = gauge("frontdoor_in_flight_bytes", "Inputs of the requests in flight.")
	earlyBytes    = gauge("frontdoor_early_output_bytes", "Outputs that came before the notice of their dispatch, and wait for it.")
)

func (to sink) door(d *watch.FrontDoor) {
	for s := protocol.Querying; s <= protocol.Active; s++ {
		to.put(stage, truth(s == d.Stage), s.String())
	}
	to.put(doorEpoch, float64(d.Epoch))
	to.put(received, float64(d.Received))
	to.put(doorAnswered, float64(d.Answered))
	to.put(left, float64(d.Left))
	to.put(lateOutcomes, float64(d.Late))
	to.put(inFlight, float64(d.InFlight))
	to.put(stored, float64(d.Stored))
	to.put(inFlightBytes, float64(d.Bytes))
	to.put(earlyBytes, float64(d.EarlyBytes))
}

// Of schedulers.
var (
	active    = gauge("scheduler_active", "1 if the scheduler has been activated and serves, 0 if it stands by.")
	epoch     = gauge("scheduler_epoch", "The scheduler's epoch, 0 if it stands by.")
	workers   = gauge("scheduler_workers", "Workers that the scheduler plans with.")
	lacking   = gauge("scheduler_models_lacking", "Models that workers do not serve because they could not load or measure them, summed over workers.")
	waiting   = gauge("scheduler_requests", "Requests that the scheduler has: queued ones have no action, those in flight have one.", "state")
	submitted = count("scheduler_submitted_total", "Requests that front doors submitted to this term of the scheduler.")
	ended     = count("scheduler_requests_total", "Requests that the scheduler is done with, by how.", "outcome")
	replanned = count("scheduler_replanned_total", "Requests that were put back after a failure.")
	strays    = count("scheduler_stray_results_total", "Results of actions that the scheduler does not know.")
	lost      = count("scheduler_lost_actions_total", "Actions that the scheduler gave up without a result.")

	crashes     = count("scheduler_crashes_total", "Executions that ended or hung a worker or an executor, as far as the scheduler knows.")
	quarantines = count("scheduler_quarantines_total", "How often a model was quarantined for such executions.")
)

func (to sink) scheduler(s *watch.Scheduler) {
	to.put(active, truth(s.Active))
	to.put(epoch, float64(s.Epoch))
	to.put(workers, float64(s.Workers))
	to.put(lacking, float64(s.Lacking))
	n := &s.Stats
	to.put(waiting, float64(n.Queued), "queued")
	to.put(waiting, float64(n.InFlight), "in_flight")
	to.put(submitted, float64(n.Submitted))
	to.put(ended, float64(n.Succeeded), "succeeded")
	to.put(ended, float64(n.Refused), "refused")
	to.put(ended, float64(n.Answered), "answered")
	to.put(ended, float64(n.Withdrawn), "withdrawn")
	to.put(ended, float64(n.Forgotten), "forgotten")
	to.put(ended, float64(n.Duplicates), "duplicate")
	to.put(replanned, float64(n.Replanned))
	to.put(strays, float64(n.Strays))
	to.put(lost, float64(n.Lost))
	to.put(crashes, float64(n.Crashes))
	to.put(quarantines, float64(n.Quarantines))
}

// Of workers and their GPUs.
var (
	hosted      = gauge("worker_models", "Models in a worker's host memory, copies counted.", "worker")
	atWork      = gauge("worker_actions_in_flight", "Actions that a worker has and that have no result yet.", "worker")
	inputs      = gauge("worker_inputs_waiting", "Inputs that wait at a worker for their action.", "worker")
	inputBytes  = gauge("worker_input_bytes", "Bytes of the inputs that wait at a worker.", "worker")
	clockOffset = gauge("worker_clock_offset_seconds", "How far the scheduler's clock is ahead of a worker's.", "worker")
	clockError  = gauge("worker_clock_error_seconds", "How far that may be wrong.", "worker")
	clockSteps  = count("worker_clock_steps_total", "How often a worker saw its clock, or the scheduler's, being stepped.", "worker")
	gpuInfo     = gauge("worker_gpu_info", "Always 1; the label says of which type a GPU is.", "worker", "gpu", "type")
	capacity    = gauge("worker_pages_capacity", "Pages for weights on a GPU.", "worker", "gpu")
	used        = gauge("worker_pages_used", "Pages on a GPU that hold weights.", "worker", "gpu")
	executors   = count("worker_executors_lost_total", "Executors of a GPU that ended, by themselves (ended) or because something hung (overdue).", "worker", "gpu", "reason")
	stalledGPU  = gauge("worker_gpu_stalled", "1 if a GPU gets nothing done: an execution is overdue by far, or its executor ended and the next one is not ready; else 0.", "worker", "gpu")
	resident    = gauge("worker_gpu_models", "Models whose weights are on a GPU.", "worker", "gpu")
)

// worker puts a worker's metrics, with those of its first `gpus` GPUs; the rest are
// summed up.
func (to sink) worker(name string, w *watch.Worker, gpus int) {
	to.put(hosted, float64(w.Models), name)
	to.put(atWork, float64(w.InFlight), name)
	to.put(inputs, float64(w.Inputs), name)
	to.put(inputBytes, float64(w.InputBytes), name)
	to.put(clockOffset, w.ClockOffset.Seconds(), name)
	to.put(clockError, w.ClockError.Seconds(), name)
	to.put(clockSteps, float64(w.ClockSteps), name)
	for i := range w.GPUs[:min(gpus, len(w.GPUs))] {
		g := &w.GPUs[i]
		to.gpu(name, strconv.Itoa(g.Index), g)
		to.put(stalledGPU, truth(g.Stalled != ""), name, strconv.Itoa(g.Index))
		to.put(gpuInfo, 1, name, strconv.Itoa(g.Index), g.Type)
	}
	if gpus < len(w.GPUs) {
		var sum watch.GPU
		for _, g := range w.GPUs[gpus:] {
			sum.PagesTotal += g.PagesTotal
			sum.PagesUsed += g.PagesUsed
			sum.Models += g.Models
			sum.ExecutorsEnded += g.ExecutorsEnded
			sum.ExecutorsOverdue += g.ExecutorsOverdue
		}
		to.gpu(name, other, &sum)
	}
}

func (to sink) gpu(worker, index string, g *watch.GPU) {
	to.put(capacity, float64(g.PagesTotal), worker, index)
	to.put(used, float64(g.PagesUsed), worker, index)
	to.put(resident, float64(g.Models), worker, index)
	to.put(executors, float64(g.ExecutorsEnded), worker, index, "ended")
	to.put(executors, float64(g.ExecutorsOverdue), worker, index, "overdue")
}
