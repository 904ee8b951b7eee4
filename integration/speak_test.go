package integration

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// speakers are the users whose keys an attacker may have.
var speakers = []string{"client", "client.alice", "gateway", "frontdoor", "controller", "scheduler", "profiler", "worker.w1", "worker.w2", "operator", "health"}

// TestNobodyMakesAnotherSpeak has every user ask everything that it may publish, by the
// configuration itself, with every subject on which another one may speak as the reply
// subject, and writes what it may write with every header that JetStream acts upon, on a
// broker on which all services run. No message may appear on a reply subject on which its
// asker may not publish itself, and no stored value of another may change.
func TestNobodyMakesAnotherSpeak(t *testing.T) {
	r := makeKeys(t, "--worker", "w1", "--worker", "w2")
	r.run("keys", r.dir, "--client", "alice")
	s := r.spied()
	a := &attack{spied: s, t: t, url: s.server.ClientURL(), may: map[string]*server.Permissions{}, second: map[string]*server.Permissions{}}
	a.readPermissions(speakers)
	a.startStack()
	replies := a.foreign()
	questions, forged, said := 0, 0, 0
	for _, user := range speakers {
		for _, as := range []struct {
			nc  *nats.Conn
			may *server.Permissions
		}{{s.connect(a.url, user), a.may[user]}, {s.second(a.url, user), a.second[user]}} {
			if as.nc == nil {
				continue
			}
			a.hears(as.nc, as.may)
			for _, subject := range as.may.Publish.Allow {
				asked := a.concrete(subject)
				own := allows(as.may.Subscribe, asked)
				for _, body := range a.bodies(asked) {
					questions++
					for _, reply := range replies {
						if allows(as.may.Publish, heardOn(reply)) || strings.HasPrefix(reply, inboxOf(user)+".") {
							continue // it may speak there itself
						}
						forged++
						if err := as.nc.PublishMsg(&nats.Msg{Subject: asked, Reply: reply, Data: body, Header: unharmful(asked)}); err != nil {
							t.Fatal(err)
						}
						// A user who heard the question itself has not earned the right to answer it.
						if !own {
							continue
						}
						said++
						s.flush(as.nc)
						if err := as.nc.Publish(reply, []byte(user+" says so itself")); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			s.flush(as.nc)
		}
	}
	a.settle()
	a.check()
	t.Logf("%d questions, %d forged reply subjects in all, %d answered by the asker", questions, forged, said)
	if said == 0 {
		t.Error("nobody hears a question of its own")
	}
	a.stackServes()
	a.headers() // last: who writes nonsense over its own lease ends its own service
}

// attack is a stack under attack by its own keys.
type attack struct {
	*spied
	t           *testing.T
	url         string
	may, second map[string]*server.Permissions
}

// readPermissions reads the configuration as the broker does.
func (a *attack) readPermissions(users []string) {
	options, err := server.ProcessConfigFile(a.dir + "/broker/nats.conf")
	if err != nil {
		a.t.Fatal(err)
	}
	of := map[string]*server.Permissions{}
	for _, u := range options.Nkeys {
		of[u.Nkey] = u.Permissions
	}
	for _, user := range users {
		a.may[user] = of[a.public(user)]
		seed, err := a.pair(user).Seed()
		if err != nil {
			a.t.Fatal(err)
		}
		pair, err := bus.StoreKey(seed)
		if err != nil {
			a.t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			a.t.Fatal(err)
		}
		a.second[user] = of[public]
	}
}

// startStack starts every service in its role, on the spied broker.
func (a *attack) startStack() {
	start := func(user string, args ...string) {
		startProcess(a.t, slices.Concat(args, []string{"--nats", a.url}, a.flags(user))...)
	}
	a.run(slices.Concat([]string{"init", "--nats", a.url}, a.flags("operator"))...)
	start("controller", "controller", "--front-door=false", "--load-idle", "500ms")
	start("frontdoor", "frontdoor")
	start("gateway", "gateway", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0")
	start("scheduler", "scheduler")
	start("profiler", "profiler", "--profile-iterations", "3")
	start("worker.w1", "worker", "--name", "w1", "--generate-inputs", "--scale", "0.1")
	start("worker.w2", "worker", "--name", "w2", "--generate-inputs", "--scale", "0.1")
	stack := a.asOperator()
	stack.awaitState("workers", func(st *protocol.StackState) bool { return len(st.Workers) == 2 })
	stack.load("zoo/resnet18_v2", 1)
	stack.awaitState("the scheduler", func(st *protocol.StackState) bool { return st.Stage == protocol.Active && st.GPUsServing > 0 })
}

// hears subscribes to all that a user may hear, but for what goes to one of a group.
func (a *attack) hears(nc *nats.Conn, may *server.Permissions) {
	if may.Response != nil {
		a.t.Errorf("a user may answer whatever it hears: %+v", may.Response)
	}
	for _, subject := range may.Subscribe.Allow {
		if strings.Contains(subject, " ") {
			continue
		}
		if _, err := nc.Subscribe(subject, func(*nats.Msg) {}); err != nil {
			a.t.Fatal(err)
		}
	}
	a.flush(nc)
}

func (a *attack) asOperator() *stack {
	return &stack{t: a.t, client: a.client(a.url, "operator"), news: make(chan struct{}, 1)}
}

// foreign returns a reply subject of every kind: each subject on which somebody may
// publish, each inbox, and JetStream's own.
func (a *attack) foreign() []string {
	all := map[string]bool{}
	for _, user := range speakers {
		for _, p := range []*server.Permissions{a.may[user], a.second[user]} {
			if p == nil {
				continue
			}
			for _, subject := range slices.Concat(p.Publish.Allow, p.Subscribe.Allow) {
				subject, _, _ = strings.Cut(subject, " ")
				all[a.concrete(subject)] = true
			}
		}
		all[inboxOf(user)+".forged"] = true
	}
	for _, row := range rights {
		if subject, group, _ := strings.Cut(row.subject, " "); group == "" && !strings.ContainsAny(subject, "*>") {
			all[subject] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// forgedToken stands for wildcards in reply subjects and questions, so that what is heard
// under it is known to be forged.
const forgedToken = "forged"

func (a *attack) concrete(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, token := range tokens {
		if token == "*" || token == ">" {
			tokens[i] = forgedToken
		}
	}
	return strings.Join(tokens, ".")
}

// bodies returns what to ask a subject with: nothing, and what makes the answerer answer.
func (a *attack) bodies(asked string) [][]byte {
	switch {
	case strings.Contains(asked, ".DIRECT.GET."):
		return [][]byte{nil, []byte(`{"no_hdr":true}`), []byte(`{"seq":1,"next_by_subj":">","batch":5,"no_hdr":true}`)}
	case strings.Contains(asked, ".STREAM.CREATE."), strings.Contains(asked, ".STREAM.UPDATE."), strings.Contains(asked, ".MSG.DELETE."):
		return [][]byte{[]byte(`{}`)} // asked for real it would do what its role may
	case strings.HasSuffix(asked, ".load"):
		return [][]byte{[]byte(`{"path":"zoo/resnet18_v2","name":"resnet18_v2"}`)} // refused: loading is closed
	case strings.Contains(asked, ".infer."), strings.Contains(asked, ".lane."):
		return [][]byte{[]byte(`{"inputs":[]}`), []byte(`{`)}
	}
	return [][]byte{nil}
}

// unharmful returns headers with which a write to a key in use is refused, with an answer:
// who overwrites its own lease ends its own service.
func unharmful(asked string) nats.Header {
	if strings.Contains(asked, ".$KV.") && !strings.Contains(asked, forgedToken) {
		return nats.Header{"Nats-Expected-Last-Subject-Sequence": {"1000000000"}}
	}
	return nil
}

// settle waits until every service has handled what came before: each answers a question
// of the operator or the health key behind it.
func (a *attack) settle() {
	a.t.Helper()
	stack := a.asOperator()
	for _, kind := range []protocol.ServiceKind{protocol.FrontDoor, protocol.Scheduler, protocol.Profiler, protocol.Worker} {
		ctx, cancel := context.WithTimeout(a.t.Context(), patience)
		_, err := bus.QueryHealth(ctx, stack.client.Conn(), protocol.Subjects{Prefix: "clockwork"}, kind, "")
		cancel()
		if err != nil {
			a.t.Errorf("%s does not answer any more: %v", kind, err)
		}
	}
	stack.awaitState("an answer", func(st *protocol.StackState) bool { return st.Stage == protocol.Active })
}

// check looks at all that the spies heard: under a forged reply subject only the questions
// themselves may be there, which carry a reply subject of their own.
func (a *attack) check() {
	a.t.Helper()
	for name, by := range map[string]spy{"services": a.hot, "JetStream": a.store} {
		a.flush(by.nc)
		for {
			if waiting, _, err := by.heard.Pending(); err != nil || waiting == 0 {
				break
			}
			m, err := by.heard.NextMsg(patience)
			if err != nil {
				a.t.Fatal(err)
			}
			if m.Reply == "" && strings.Contains(m.Subject, forgedToken) {
				a.t.Errorf("%s: somebody was made to say %.80q on %s, %v", name, m.Data, m.Subject, m.Header)
			}
		}
	}
	var st struct{ Stage string }
	body := a.value("KV_clockwork_state", "$KV.clockwork_state.stage")
	if json.Unmarshal(body, &st) != nil || st.Stage != "ACTIVE" {
		a.t.Errorf("the stage is %q", body)
	}
}

// value reads what JetStream has under a subject, as its own account.
func (a *attack) value(stream, subject string) []byte {
	a.t.Helper()
	m, err := a.store.nc.Request("$JS.API.DIRECT.GET."+stream+"."+subject, nil, patience)
	if err != nil {
		a.t.Fatal(err)
	}
	return m.Data
}

// headers writes with every header that JetStream acts upon under all subjects that a user
// may write, and looks whether another's value in the same buckets changes.
func (a *attack) headers() {
	a.t.Helper()
	tried := 0
	for _, user := range speakers {
		nc := a.spied.second(a.url, user)
		if nc == nil {
			continue
		}
		for _, subject := range a.second[user].Publish.Allow {
			bucket, isKey := strings.CutPrefix(subject, "clockwork.store.$KV.")
			if bucket, _, _ = strings.Cut(bucket, "."); !isKey || strings.HasSuffix(subject, "_state.>") {
				continue // the controller may write all of the state
			}
			for _, h := range headersOfJetStream {
				tried++
				for !a.keeps(bucket, func() {
					// The broker refuses some of them with an error, and drops others.
					if err := nc.PublishMsg(&nats.Msg{Subject: a.concrete(subject), Header: h, Data: []byte("x")}); err != nil {
						a.t.Fatal(err)
					}
					a.flush(nc)
				}) {
					a.t.Logf("slow: once more")
				}
				if a.t.Failed() {
					a.t.Fatalf("%s, by %v on %s", user, h, subject)
				}
			}
		}
	}
	if tried == 0 {
		a.t.Error("nobody may write anything")
	}
	a.t.Logf("%d writes with headers", tried)
}

// keeps calls do, and checks that another's value in a bucket is what it was before. It
// returns false if that took so long that a lease may have ended meanwhile.
func (a *attack) keeps(bucket string, do func()) bool {
	a.t.Helper()
	key := "$KV." + bucket + ".kept.by"
	began := time.Now()
	if _, err := a.store.nc.Request(key, []byte("kept"), patience); err != nil {
		a.t.Fatal(err)
	}
	do()
	got := a.value("KV_"+bucket, key)
	if string(got) != "kept" && time.Since(began) > time.Second && !strings.HasSuffix(bucket, "_state") {
		return false
	}
	if string(got) != "kept" {
		a.t.Errorf("another's value in %s is %q now", bucket, got)
	}
	return true
}

var headersOfJetStream = []nats.Header{
	{"Nats-Rollup": {"all"}}, {"Nats-Rollup": {"sub"}}, {"Nats-TTL": {"never"}}, {"Nats-TTL": {"1s"}}, {"Nats-Msg-Id": {"1"}}, {"Nats-Incr": {"+1"}},
	{"Nats-Expected-Stream": {"KV_clockwork_state"}}, {"Nats-Expected-Last-Sequence": {"1"}}, {"Nats-Expected-Last-Subject-Sequence": {"0"}},
	{"Nats-Expected-Last-Subject-Sequence": {"1"}, "Nats-Expected-Last-Subject-Sequence-Subject": {"$KV.clockwork_state.stage"}},
	{"Nats-Schedule": {"@every 1s"}, "Nats-Schedule-Target": {"$KV.clockwork_state.stage"}}, {"Nats-Marker-Reason": {"MaxAge"}},
	{"Nats-Batch-Id": {"b"}, "Nats-Batch-Sequence": {"1"}, "Nats-Batch-Commit": {"1"}}, {"Nats-Trace-Dest": {"$KV.clockwork_state.stage"}},
	{"Nats-Stream-Source": {"x 1 > > >"}}, {"KV-Operation": {"PURGE"}}, {"Nats-Request-Info": {`{"acc":"clockwork_store"}`}}, {"Status": {"404"}}, {"Nats-Sequence": {"1"}},
}

// stackServes checks that all of it went by the stack.
func (a *attack) stackServes() {
	a.t.Helper()
	clients := &stack{t: a.t, client: a.client(a.url, "client")}
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		_, refusal := clients.infer("resnet18_v2", 5*time.Second, 0)
		if refusal == nil {
			return
		}
		if time.Now().After(deadline) {
			a.t.Fatalf("the stack serves no more: %v", refusal)
		}
	}
}

func inboxOf(user string) string {
	role, name, _ := strings.Cut(user, ".")
	return protocol.InboxPrefix(role, name)
}

// allows reports whether a list of the broker's allows a subject.
func allows(p *server.SubjectPermission, subject string) bool {
	return slices.ContainsFunc(p.Allow, func(pattern string) bool {
		want, have := strings.Split(pattern, "."), strings.Split(subject, ".")
		for i, token := range want {
			if token == ">" {
				return len(have) > i
			}
			if i >= len(have) || token != "*" && token != have[i] {
				return false
			}
		}
		return len(want) == len(have)
	})
}
