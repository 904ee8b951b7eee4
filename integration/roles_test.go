package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
)

// inStore returns the subject that stands for one of JetStream's in the accounts of the
// second users, and whether it is one of JetStream's.
func inStore(subject string) (local string, is bool) {
	if api, is := strings.CutPrefix(subject, "$JS.API."); is {
		return "clockwork.store." + api, true
	}
	if strings.HasPrefix(subject, "$KV.") {
		return "clockwork.store." + subject, true
	}
	return subject, strings.HasPrefix(subject, "$JS.") || strings.HasPrefix(subject, "clockwork.buffer.")
}

// lanes counts lanes from the one of a client's name.
func laneFrom(client string, n int) string {
	return strings.TrimSuffix(hot.Lane((protocol.LaneOf(client)+n)%protocol.Lanes), ">")
}

var hot = protocol.Subjects{Prefix: protocol.DefaultPrefix}

// rights are all subjects of a stack and some others, with the users who may
// publish and subscribe. All others may not.
var rights = []struct{ subject, publish, subscribe string }{
	// Requests of clients.
	{"clockwork.infer.m", "client", ""},
	{"clockwork.infer.m.gateway", "", ""},
	{"clockwork.infer.m.operator", "operator", ""},
	{"clockwork.infer.m.alice", "client.alice", ""},
	{"clockwork.infer.m.bob", "", ""},
	{"clockwork.infer.m.client", "", ""},
	{"clockwork.infer.m.alice.bob", "", ""},
	{"clockwork.infer.m frontdoor", "", "frontdoor controller"},
	{"clockwork.infer.> frontdoor", "", "frontdoor controller"},
	{"clockwork.infer.m another-group", "", ""},
	{"clockwork.infer.>", "", ""},
	// The same in lanes: in their own and under their own name.
	{laneFrom("alice", 0) + "m.alice", "client.alice", ""},
	{laneFrom("alice", 1) + "m.alice", "", ""},
	{laneFrom("alice", 0) + "m.bob", "", ""},
	{laneFrom("bob", 0) + "m.bob", "", ""},
	{laneFrom("bob", 0) + "m.alice", "", ""},
	{laneFrom("alice", 0) + "m", "", ""},
	{laneFrom("operator", 0) + "m.operator", "operator", ""},
	{laneFrom("alice", 0) + "> frontdoor", "", "frontdoor controller"},
	{laneFrom("alice", 0) + ">", "", ""},
	{"clockwork.lane.> frontdoor", "", "frontdoor controller"},
	{"clockwork.lane.>", "", ""},
	// A front door's own, to find out whether there are lanes.
	{"clockwork.infer.d1.frontdoor", "frontdoor controller", "frontdoor controller"},
	{laneFrom("frontdoor", 0) + "d1.frontdoor", "frontdoor controller", "frontdoor controller"},
	{laneFrom("frontdoor", 0) + "d1.alice", "", ""},
	{"clockwork.load", "operator", ""},
	{"clockwork.load q", "", "controller"},
	{"clockwork.ls", "client", ""},
	{"clockwork.ls.alice", "client.alice", ""},
	{"clockwork.ls.gateway", "", ""},
	{"clockwork.ls.operator", "operator", ""},
	{"clockwork.ls q", "", "controller"},
	{"clockwork.ls.* q", "", "controller"},
	{"clockwork.state", "client", ""},
	{"clockwork.state.alice", "client.alice", ""},
	{"clockwork.state.bob", "", ""},
	{"clockwork.state.gateway", "", ""},
	{"clockwork.state.operator", "operator", ""},
	{"clockwork.state.health", "health", ""},
	{"clockwork.state q", "", "controller"},
	{"clockwork.state.* q", "", "controller"},
	{"clockwork.events.stage", "frontdoor gateway controller profiler", "client client.alice operator"},
	{"$SRV.PING", "operator", "controller"},
	{"$SRV.INFO.clockwork", "operator", "controller"},
	{"$SRV.INFO.clockwork.1", "operator", "controller"},
	{"$SRV.INFO.another.1", "", ""},

	// Observability.
	{"clockwork.watch", "operator", "frontdoor gateway controller scheduler worker.w1 worker.w2"},
	{"clockwork.figures.frontdoor.d1", "frontdoor gateway controller", "operator"},
	{"clockwork.figures.scheduler.s", "scheduler", "operator"},
	{"clockwork.figures.worker.w1", "worker.w1", "operator"},
	{"clockwork.figures.worker.w3", "", "operator"},
	{"clockwork.figures.*.*", "", "operator"},
	{"clockwork.explain.frontdoor", "operator", "frontdoor gateway controller"},
	{"clockwork.explain.scheduler", "operator", "scheduler"},
	{"clockwork.explain.worker", "operator", ""},

	// Between services.
	{"clockwork.scheduler.submit.d1", "frontdoor gateway controller scheduler", "scheduler"},
	{"clockwork.scheduler.submit.d1.7", "", "scheduler"},
	{"clockwork.scheduler.start", "controller", "scheduler"},
	{"clockwork.scheduler.join", "controller", "scheduler"},
	{"clockwork.profiler.start", "controller", "profiler"},
	{"clockwork.profiler.report", "profiler", "controller"},
	{"clockwork.worker.w1.action", "controller scheduler profiler", "worker.w1"},
	{"clockwork.worker.w1.input", "frontdoor gateway controller", "worker.w1"},
	{"clockwork.worker.w3.action", "controller scheduler profiler", ""},
	{"clockwork.worker.*.action", "", ""},
	{"clockwork.frontdoor.d1.dispatch", "scheduler", "frontdoor gateway controller"},
	{"clockwork.frontdoor.d1.output.w1", "worker.w1", "frontdoor gateway controller"},
	{"clockwork.frontdoor.d1.output.w3", "", "frontdoor gateway controller"},
	{"clockwork.frontdoor.d1.output.nobody", "scheduler", "frontdoor gateway controller"},
	{"clockwork.result.w1", "worker.w1", "controller scheduler profiler"},
	{"clockwork.result.w3", "", "controller scheduler profiler"},
	{"clockwork.clock.w1", "worker.w1", "scheduler"},
	{"clockwork.heartbeat.worker.w1", "worker.w1", "controller scheduler profiler operator"},
	{"clockwork.heartbeat.worker.w3", "", "controller scheduler profiler operator"},
	{"clockwork.heartbeat.scheduler.s", "scheduler", "frontdoor gateway controller scheduler operator"},
	{"clockwork.heartbeat.frontdoor.d1", "frontdoor gateway controller", "controller scheduler operator"},
	{"clockwork.heartbeat.profiler.p", "profiler", "controller profiler operator"},
	{"clockwork.health.worker.h", "", "worker.w1 worker.w2"},
	{"clockwork.health.worker.h.worker.w1", "worker.w1", "worker.w1 worker.w2"},
	{"clockwork.health.worker.h.operator.operator", "operator", "worker.w1 worker.w2"},
	{"clockwork.health.worker.h.health.health", "health", "worker.w1 worker.w2"},
	{"clockwork.health.frontdoor.h.controller.controller", "controller", "frontdoor controller"},
	{"clockwork.health.frontdoor.h.frontdoor.frontdoor", "frontdoor", "frontdoor controller"},
	{"clockwork.health.frontdoor.h.gateway.gateway", "", "frontdoor controller"},
	{"clockwork.health.gateway.h.gateway.gateway", "gateway", "gateway"},
	{"clockwork.health.gateway.h.health.health", "health", "gateway"},
	{"clockwork.health.gateway.h.frontdoor.frontdoor", "", "gateway"},
	{"clockwork.health.scheduler.h.scheduler.scheduler", "scheduler", "scheduler"},
	{"clockwork.health.profiler.h.profiler.profiler", "profiler", "profiler"},
	{"clockwork.health.profiler.h.health.health", "health", "profiler"},
	{"clockwork.buffer.m", "frontdoor controller", ""},

	// Answers.
	{"_INBOX_client.client.1", "frontdoor controller scheduler", "client"},
	{"_INBOX_client.alice.1", "frontdoor controller scheduler", "client.alice"},
	{"_INBOX_gateway.gateway.1", "", "gateway"},
	{"_INBOX_gateway.gateway.health.1", "gateway", "gateway"},
	{"_INBOX_operator.operator.1", "frontdoor gateway controller scheduler", "operator"},
	{"_INBOX_operator.operator.health.1", "frontdoor gateway controller scheduler profiler worker.w1 worker.w2", "operator"},
	{"_INBOX_health.health.1", "controller", "health"},
	{"_INBOX_health.health.health.1", "frontdoor gateway controller scheduler profiler worker.w1 worker.w2", "health"},
	{"_INBOX_frontdoor.frontdoor.1", "", "frontdoor"},
	{"_INBOX_frontdoor.frontdoor.health.1", "frontdoor", "frontdoor"},
	{"_INBOX_controller.controller.1", "controller scheduler", "controller"},
	{"_INBOX_controller.controller.health.1", "controller scheduler frontdoor", "controller"},
	{"_INBOX_scheduler.scheduler.1", "", "scheduler"},
	{"_INBOX_scheduler.scheduler.health.1", "scheduler", "scheduler"},
	{"_INBOX_profiler.profiler.1", "", "profiler"},
	{"_INBOX_profiler.profiler.health.1", "profiler", "profiler"},
	{"_INBOX_worker.w1.1", "scheduler", "worker.w1"},
	{"_INBOX_worker.w1.health.1", "scheduler worker.w1", "worker.w1"},
	{"_INBOX_worker.w3.1", "scheduler", ""},
	{"_INBOX_worker.>", "", ""},
	{"_INBOX_client.>", "", ""},
	{"_INBOX.1", "", ""},
	{"_INBOX.>", "", ""},

	// Leases and state.
	{"$KV.clockwork_lease.controller", "controller", ""},
	{"$KV.clockwork_lease.scheduler", "scheduler", ""},
	{"$KV.clockwork_lease.profiler", "profiler", ""},
	{"$KV.clockwork_worker.w1", "worker.w1", ""},
	{"$KV.clockwork_worker.w3", "", ""},
	{"$KV.clockwork_lease.worker.w1", "", ""},
	{"$KV.clockwork_device.w1", "worker.w1", ""},
	{"$KV.clockwork_device.w3", "", ""},
	{"$KV.clockwork_device.host.cpu-0", "", ""},
	{"$KV.clockwork_health.operator", "operator", ""},
	{"$KV.clockwork_health.health", "health", ""},
	{"$KV.clockwork_health.host", "", ""},
	{"$KV.clockwork_state.stage", "controller", ""},
	{"$KV.clockwork_state.model.m", "controller", ""},
	{"$KV.clockwork_state.worker.w1", "controller", ""},
	{"$KV.clockwork_state.profile.d.g", "controller", ""},
	{"$KV.clockwork_profile.profile.d.g", "controller profiler", ""},
	{"$KV.clockwork_profile.profile.d", "", ""},
	{"$KV.clockwork_state.fence.controller", "controller", ""},
	{"$KV.clockwork_state.fence.profiler", "controller", ""},
	{"$KV.clockwork_state.fence.scheduler", "controller", ""},
	{"$KV.clockwork_epoch.fence.scheduler", "scheduler", ""},
	{"$KV.clockwork_epoch.fence.controller", "", ""},
	{"$KV.clockwork_profile.fence.profiler", "profiler", ""},
	{"$KV.clockwork_profile.fence.controller", "", ""},
	{"$KV.clockwork_state.>", "", ""},
	{"$KV.another.key", "", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state.$KV.clockwork_state.stage", "frontdoor gateway controller operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_profile.$KV.clockwork_profile.profile.d.g", "controller profiler operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_profile.$KV.clockwork_profile.fence.profiler", "profiler operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_profile", "controller operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state.$KV.clockwork_state.fence.controller", "frontdoor gateway controller operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state.$KV.clockwork_state.fence.scheduler", "frontdoor gateway controller operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_epoch.$KV.clockwork_epoch.fence.scheduler", "scheduler operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_worker.$KV.clockwork_worker.w1", "worker.w1 operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_lease.$KV.clockwork_lease.scheduler", "scheduler operator", ""},
	{"$JS.API.DIRECT.GET.clockwork_buffer", "controller", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_state", "frontdoor gateway controller operator", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_lease", "", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_worker", "", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_device", "worker.w1 worker.w2", ""},
	{"$JS.API.DIRECT.GET.KV_clockwork_device.$KV.clockwork_device.w1", "worker.w1 operator", ""},

	// Streams, and the API of the broker.
	{"$JS.API.INFO", "operator health", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_lease", "controller scheduler profiler operator", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_worker", "worker.w1 worker.w2 operator", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_health", "operator health", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_state", "frontdoor gateway controller operator", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_epoch", "scheduler operator", ""},
	{"$JS.API.STREAM.INFO.KV_clockwork_profile", "controller profiler operator", ""},
	{"$JS.API.STREAM.INFO.clockwork_buffer", "frontdoor controller operator", ""},
	{"$JS.API.STREAM.CREATE.KV_clockwork_state", "operator", ""},
	{"$JS.API.STREAM.UPDATE.clockwork_buffer", "operator", ""},
	{"$JS.API.STREAM.CREATE.another", "", ""},
	{"$JS.API.STREAM.DELETE.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.PURGE.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.PURGE.clockwork_buffer", "", ""},
	{"$JS.API.STREAM.SNAPSHOT.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.RESTORE.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.MSG.GET.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.MSG.DELETE.KV_clockwork_state", "", ""},
	{"$JS.API.STREAM.MSG.DELETE.clockwork_buffer", "controller", ""},
	{"$JS.API.STREAM.NAMES", "", ""},
	{"$JS.API.STREAM.LIST", "", ""},
	{"$JS.API.CONSUMER.CREATE.KV_clockwork_state.c", "", ""},
	{"$JS.API.CONSUMER.CREATE.KV_clockwork_state.c.$KV.clockwork_state.>", "", ""},
	{"$JS.API.CONSUMER.DELETE.KV_clockwork_state.c", "", ""},
	{"$JS.API.CONSUMER.CREATE.clockwork_buffer.c", "", ""},
	{"$JS.API.CONSUMER.MSG.NEXT.clockwork_buffer.c", "", ""},
	{"$JS.API.CONSUMER.CREATE.KV_clockwork_lease.c", "", ""},
	{"$JS.API.CONSUMER.DURABLE.CREATE.KV_clockwork_state.c", "", ""},
	{"$JS.API.ACCOUNT.PURGE.$G", "", ""},
	{"$JS.API.META.LEADER.STEPDOWN", "", ""},
	{"$JS.API.SERVER.REMOVE", "", ""},
	{"$JS.FC.KV_clockwork_state.c.1", "", ""},
	{"$JS.ACK.clockwork_buffer.c.1.1.1.1.1", "", ""},
	{"$SYS.REQ.SERVER.PING", "", ""},
	{"$SYS.REQ.ACCOUNT.PING.CONNZ", "", ""},
	{"$SYS.>", "", ""},
	{"$JS.>", "", ""},
	{"another.subject", "", ""},
	{"clockwork.>", "", ""},
	{"clockwork.result.*", "", "controller scheduler profiler"},
	{">", "", ""},
}

// TestRolesMayDoWhatTheyNeedAndNothingElse tries every subject as every user of
// the configuration written by clockwork keys. A message counts as refused if
// the broker reports so and the spy does not receive it.
func TestRolesMayDoWhatTheyNeedAndNothingElse(t *testing.T) {
	r := makeKeys(t, "--worker", "w1", "--worker", "w2")
	r.run("keys", r.dir, "--client", "alice") // in addition to the client without a name
	s := r.spied()
	written, err := os.ReadFile(filepath.Join(s.dir, "broker/nats.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if ours, err := os.ReadFile("../deploy/nats.conf"); err != nil || string(ours) != string(written) {
		t.Errorf("the broker does not run with deploy/nats.conf: %v", err)
	}
	may := func(users, user string) bool { return slices.Contains(strings.Fields(users), user) }
	tried, allowed := 0, 0
	for _, user := range []string{"client", "client.alice", "gateway", "frontdoor", "controller", "scheduler", "profiler", "worker.w1", "worker.w2", "operator", "health"} {
		first, second := s.connect(s.server.ClientURL(), user), s.second(s.server.ClientURL(), user)
		for i, row := range rights {
			subject, group, _ := strings.Cut(row.subject, " ")
			local, stored := inStore(subject)
			for _, as := range []struct {
				nc      *nats.Conn
				subject string
				by      spy
				allowed bool
			}{{first, subject, s.hot, !stored}, {first, local, s.hot, !stored}, {second, local, s.store, stored}} {
				if as.nc == nil {
					continue
				}
				heardOn := subject
				if model, client := hot.Inferred(subject); client != "" && !strings.Contains(client, ".") && strings.HasPrefix(subject, "clockwork.infer.") {
					heardOn = hot.LaneBy(model, client)
				}
				if group == "" && !strings.ContainsAny(subject, "*>") {
					body := fmt.Sprintf("%s %d", user, i)
					refused := s.refused(as.nc, func() error { return as.nc.Publish(as.subject, []byte(body)) })
					heard := s.overheard(as.by, heardOn, body)
					if want := as.allowed && may(row.publish, user); refused == want || heard != want {
						t.Errorf("%s publishes on %s: refused %v, heard %v; allowed should be %v", user, as.subject, refused, heard, want)
					}
					tried++
					if !refused {
						allowed++
					}
				}
				refused := s.refused(as.nc, func() error {
					sub, err := as.nc.QueueSubscribe(as.subject, group, func(*nats.Msg) {})
					if err == nil {
						t.Cleanup(func() { _ = sub.Unsubscribe() })
					}
					return err
				})
				if want := may(row.subscribe, user) && (as.nc == first || strings.HasPrefix(subject, "_INBOX_")); refused == want {
					t.Errorf("%s subscribes to %s: refused %v; allowed should be %v", user, as.subject, refused, want)
				}
				tried++
				if !refused {
					allowed++
				}
			}
		}
	}
	t.Logf("%d tried, %d allowed", tried, allowed)
}
