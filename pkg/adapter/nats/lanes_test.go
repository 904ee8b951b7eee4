package bus

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/logtext"
)

const laneWait = 20 * time.Second

// laneStack is a front door's lanes on a broker of ours, and a client's connection.
type laneStack struct {
	t      *testing.T
	bus    *Bus
	lanes  *Lanes
	client *nats.Conn
	heard  chan *nats.Msg
	log    *logtext.Buffer
}

// openLanes opens them; paced as on a broker with roles.
func openLanes(t *testing.T, prefix string, paced bool) *laneStack {
	t.Helper()
	server, err := StartServer(ServerConfig{Host: "127.0.0.1", Port: -1, DataDir: t.TempDir(), Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { StopServer(server) })
	s := &laneStack{t: t, heard: make(chan *nats.Msg, 10_000), log: &logtext.Buffer{}}
	s.bus, err = Open(t.Context(), Config{URL: server.ClientURL(), Prefix: protocol.DefaultPrefix, Name: "test", Log: slog.New(slog.NewTextHandler(s.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.bus.Close)
	s.bus.Subjects.Roles = paced
	if s.lanes, err = s.bus.OpenLanes(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.lanes.Close)
	for _, lane := range s.lanes.All() {
		if _, err := lane.Subscribe(s.bus, "frontdoor", func(m *nats.Msg) { s.heard <- m }); err != nil {
			t.Fatal(err)
		}
	}
	if s.client, err = nats.Connect(server.ClientURL()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.client.Close)
	return s
}

// next returns who sent the next request that is heard.
func (s *laneStack) next() (tenant string, m *nats.Msg) {
	s.t.Helper()
	select {
	case m := <-s.heard:
		_, tenant := s.bus.Subjects.Inferred(m.Subject)
		return tenant, m
	case <-time.After(laneWait):
		s.t.Fatal("no request is heard")
	}
	return "", nil
}

func (s *laneStack) send(client string, bytes int) {
	s.t.Helper()
	if err := s.client.Publish(s.bus.Subjects.InferBy("m", client), make([]byte, bytes)); err != nil {
		s.t.Fatal(err)
	}
}

// TestAFloodStaysInItsLane: while the lane of one client is not read, that of another is, and
// so are requests without a name.
func TestAFloodStaysInItsLane(t *testing.T) {
	s := openLanes(t, protocol.DefaultPrefix, true)
	const flooder, messages = "mallory", 1000
	s.lanes.paces[1+protocol.LaneOf(flooder)].spend(1 << 50) // for years
	for range messages {
		s.send(flooder, 64<<10)
	}
	of := map[string]int{}
	for _, good := range []string{"alice", "bob", ""} {
		if protocol.LaneOf(good) == protocol.LaneOf(flooder) {
			t.Fatal("the test needs names in other lanes")
		}
		s.send(good, 100)
		for of[good] == 0 {
			tenant, _ := s.next()
			of[tenant]++
		}
	}
	if of[flooder] > messages/2 { // what was in buffers of the system
		t.Errorf("%d messages of the flood are heard, although its lane is not read", of[flooder])
	}
}

// TestAFrontDoorFindsOutAboutLanes, says so, and hears all requests once, whatever the
// broker does, and begins to do.
func TestAFrontDoorFindsOutAboutLanes(t *testing.T) {
	for prefix, want := range map[string]struct {
		mapping mapping
		conns   int
	}{protocol.DefaultPrefix: {mapped, 1 + protocol.Lanes}, "": {unmapped, 1}, "another": {unmapped, 1}} {
		s := openLanes(t, prefix, false)
		if s.lanes.mapping != want.mapping || len(s.lanes.conns) != want.conns {
			t.Errorf("prefix %q: mapping %d, %d connections; expected %+v", prefix, s.lanes.mapping, len(s.lanes.conns), want)
		}
		if !strings.Contains(s.log.String(), laneProtection[want.mapping]) {
			t.Errorf("prefix %q: nothing is said of %q:\n%s", prefix, laneProtection[want.mapping], s.log)
		}
		by := s.bus.Subjects
		for _, subject := range []string{by.Infer("m"), by.InferBy("m", "alice"), by.LaneBy("m", "bob")} {
			if err := s.client.Publish(subject, nil); err != nil {
				t.Fatal(err)
			}
			model, tenant := by.Inferred(subject)
			if heard, m := s.next(); heard != tenant || !strings.Contains(m.Subject, model) {
				t.Errorf("prefix %q: %s is heard as %s", prefix, subject, m.Subject)
			}
		}
		if len(s.heard) > 0 {
			t.Errorf("prefix %q: heard again: %s", prefix, (<-s.heard).Subject)
		}
	}
}
