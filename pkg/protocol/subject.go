package protocol

import (
	"strings"
	"time"
)

// DefaultPrefix is the first token of every subject.
const DefaultPrefix = "clockwork"

// Subjects builds every subject of one stack. Several stacks share a broker
// by their prefixes.
//
//	<p>.infer.<model>                client -> front door (queue group)
//	<p>.infer.<model>.<tenant>       the same for a client with a name (tenant.go), which the
//	                                 broker makes
//	<p>.lane.<n>.<model>.<tenant>    so that front doors take floods apart (lane.go)
//	<p>.load, .ls, .state            client -> controller (micro services); the latter two
//	                                 end with the asker (reply.go), as infer and health
//	<p>.events.<kind>                services -> anyone
//	<p>.watch                        clockwork top -> services: publish LiveStats
//	<p>.figures.<service>.<id>       services -> clockwork top: LiveStats
//	<p>.explain.<service>            clockwork explain -> front doors, active scheduler, with a reply
//	<p>.scheduler.submit.<door>      front door -> scheduler
//	<p>.scheduler.start              controller -> scheduler: ClockworkState
//	<p>.scheduler.join               controller -> scheduler: a worker that joined later
//	<p>.profiler.start, .report      controller -> profiler, profiler -> controller
//	<p>.worker.<id>.action, .input   issuers -> worker, front door -> worker
//	<p>.frontdoor.<id>.dispatch      scheduler -> front door
//	<p>.frontdoor.<id>.output.<worker>  worker -> front door
//	<p>.result.<worker>              worker -> issuers
//	<p>.heartbeat.<service>.<id>     all -> all
//	<p>.health.<service>.<host>      clockwork healthcheck -> services on that host, with a reply
//	<p>.clock.<worker>               worker -> scheduler, with a reply
//	<p>.buffer.<model>               front door -> JetStream
//	<p>.store.>                      services with roles -> JetStream
type Subjects struct {
	Prefix string
	// Roles: the broker lets each user do only what its role needs, and gives it inboxes of
	// its own (reply.go).
	Roles bool `json:",omitempty"`
}

// Infer returns the subject of requests for a model.
func (s Subjects) Infer(model string) string { return s.Prefix + ".infer." + model }

// Load, Ls and State are the control endpoints.
func (s Subjects) Load() string  { return s.Prefix + ".load" }
func (s Subjects) Ls() string    { return s.Prefix + ".ls" }
func (s Subjects) State() string { return s.Prefix + ".state" }

// Event returns the subject of events of a kind.
func (s Subjects) Event(kind string) string { return s.Prefix + ".events." + kind }

// Watch makes every service publish its LiveStats, in whose subject either part may be
// "*"; Explain queries the services of one kind about requests.
func (s Subjects) Watch() string { return s.Prefix + ".watch" }
func (s Subjects) LiveStats(kind ServiceKind, id string) string {
	return s.Prefix + ".figures." + string(kind) + "." + id
}
func (s Subjects) Explain(kind ServiceKind) string { return s.Prefix + ".explain." + string(kind) }

// WatchFor is how long services publish LiveStats after the last message on Watch,
// LiveStatsEvery the interval.
const (
	WatchFor       = 5 * time.Second
	LiveStatsEvery = time.Second
)

// Submit carries one front door's batches of requests to the scheduler, and the broker's
// notice that the front door is gone; Submissions is the subject of all front doors, in
// one order.
func (s Subjects) Submit(door uint64) string { return s.Prefix + ".scheduler.submit." + DoorName(door) }
func (s Subjects) Submissions() string       { return s.Prefix + ".scheduler.submit.>" }

// SchedulerStart carries the ClockworkState at activation.
func (s Subjects) SchedulerStart() string { return s.Prefix + ".scheduler.start" }

// SchedulerJoin carries a worker that joined after activation.
func (s Subjects) SchedulerJoin() string { return s.Prefix + ".scheduler.join" }

// ProfilerStart carries profiling jobs, ProfilerReport their outcome.
func (s Subjects) ProfilerStart() string  { return s.Prefix + ".profiler.start" }
func (s Subjects) ProfilerReport() string { return s.Prefix + ".profiler.report" }

// Action and Input are the subjects of one worker.
func (s Subjects) Action(worker string) string { return s.Prefix + ".worker." + worker + ".action" }
func (s Subjects) Input(worker string) string  { return s.Prefix + ".worker." + worker + ".input" }

// Dispatch and Output are the subjects of one front door; Output covers all workers,
// OutputOf one worker.
func (s Subjects) Dispatch(door uint64) string {
	return s.Prefix + ".frontdoor." + DoorName(door) + ".dispatch"
}
func (s Subjects) Output(door uint64) string {
	return s.OutputOf(door, "*")
}
func (s Subjects) OutputOf(door uint64, worker string) string {
	return s.Prefix + ".frontdoor." + DoorName(door) + ".output." + worker
}

// Result carries the results of one worker; Result("*") those of all.
func (s Subjects) Result(worker string) string { return s.Prefix + ".result." + worker }

// Heartbeat carries one instance's heartbeats; either part may be "*".
func (s Subjects) Heartbeat(kind ServiceKind, id string) string {
	return s.Prefix + ".heartbeat." + string(kind) + "." + id
}

// Health is the subject of health checks for a kind of service on one host: each
// instance answers with its heartbeat.
func (s Subjects) Health(kind ServiceKind, host string) string {
	return s.Prefix + ".health." + string(kind) + "." + host
}

// HealthBy is Health as asked by the user of an inbox: with roles, his role and name follow.
func (s Subjects) HealthBy(kind ServiceKind, host, inbox string) string {
	role, name, owned := InboxUser(inbox)
	if !owned || !IsRole(role) {
		return s.Health(kind, host)
	}
	if name == "" {
		name = role
	}
	return s.Health(kind, host) + "." + role + "." + name
}

// Clock is where a worker queries the scheduler's clock.
func (s Subjects) Clock(worker string) string { return s.Prefix + ".clock." + worker }

// Store is the prefix of the subjects by which a user of a broker with roles reaches
// JetStream, on the connection that it has for that alone: Store() + "." stands in the place
// of "$JS.API." and before "$KV.".
func (s Subjects) Store() string { return s.Prefix + ".store" }

// Buffer is where requests for a model wait during startup; Buffer(">") is the subject
// that the stream captures.
func (s Subjects) Buffer(model string) string { return s.Prefix + ".buffer." + model }

// Token returns the i-th token of a subject after the prefix, "" if there is none:
// Token("clockwork.result.w1", 1) is "w1". Receivers take identities from subjects,
// whose publishers the broker checks.
func (s Subjects) Token(subject string, i int) string {
	rest, ok := strings.CutPrefix(subject, s.Prefix+".")
	if !ok {
		return ""
	}
	for ; i > 0; i-- {
		if _, rest, ok = strings.Cut(rest, "."); !ok {
			return ""
		}
	}
	token, _, _ := strings.Cut(rest, ".")
	return token
}
