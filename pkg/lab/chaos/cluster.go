package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/adapter/clock"
	"clockwork/pkg/client"
)

// This file runs a cluster of three brokers with three replicas, like nats-1 to
// nats-3.

// clusterConfig is the configuration of one broker, as in
// deploy/nats-cluster.conf. Its arguments: name, client address, monitoring
// address, data directory, cluster address, routes.
const clusterConfig = `server_name: %s
listen: %q
http: %q
max_payload: 8MB
max_pending: 640MB
write_deadline: "2s"
write_timeout: retry
no_fast_producer_stall: true
jetstream { store_dir: %q, sync_interval: always }
cluster { name: clockwork, listen: %q, routes: [%s] }
`

// Server is one server of a cluster.
type Server struct {
	*Service
	URL     string
	monitor string
}

// Cluster is a cluster of three brokers.
type Cluster struct{ Servers []*Server }

// StartCluster starts three brokers. The client, and all services started
// afterwards, connect to the cluster's leader (near) or to another broker.
func (s *Stack) StartCluster(ctx context.Context, near bool) (*Cluster, error) {
	c := &Cluster{}
	addresses := make([]string, 9) // for clients, monitoring and the other brokers
	for i := range addresses {
		var err error
		if addresses[i], err = FreeAddress(); err != nil {
			return c, err
		}
	}
	routes := make([]string, 3)
	for i := range routes {
		routes[i] = fmt.Sprintf("%q", "nats://"+addresses[6+i])
	}
	for i := range 3 {
		server, err := s.startServer(fmt.Sprintf("nats-%d", i+1), addresses[i], addresses[3+i], addresses[6+i], strings.Join(routes, ", "))
		if err != nil {
			return c, err
		}
		c.Servers = append(c.Servers, server)
	}
	leader, err := c.AwaitLeader(ctx)
	if err != nil {
		return c, err
	}
	for _, server := range c.Servers {
		if (server == leader) == near {
			s.URL = server.URL
		}
	}
	if s.Client, err = client.Connect(s.URL, ""); err != nil {
		return c, err
	}
	return c, nil
}

func (s *Stack) startServer(name, listen, monitor, cluster, routes string) (*Server, error) {
	dir := filepath.Join(s.Config.Data, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make a directory for %s: %w", name, err)
	}
	file := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf(clusterConfig, name, listen, monitor, filepath.Join(dir, "data"), cluster, routes)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configure %s: %w", name, err)
	}
	service := &Service{Name: name, kind: "nats", binary: s.Config.Binary, args: []string{"nats", "--config", file}}
	s.Services = append(s.Services, service)
	return &Server{Service: service, URL: "nats://" + listen, monitor: "http://" + monitor}, service.start()
}

// AwaitLeader waits until the brokers agree on a leader.
func (c *Cluster) AwaitLeader(ctx context.Context) (*Server, error) {
	for end := time.Now().Add(startWait); time.Now().Before(end) && ctx.Err() == nil; clock.Pause(ctx, 50*time.Millisecond) {
		if leader := c.leader(); leader != nil {
			return leader, nil
		}
	}
	return nil, fmt.Errorf("the servers of the cluster agree on no leader: %w", ctx.Err())
}

// leader returns the broker that more than half of all brokers name as leader,
// nil if none.
func (c *Cluster) leader() (leader *Server) {
	names := map[string]int{}
	for _, server := range c.Servers {
		names[server.leaderName()]++
	}
	for _, server := range c.Servers {
		if names[server.Name] > len(c.Servers)/2 {
			leader = server
		}
	}
	return leader
}

// leaderName returns the leader that a broker names, "" for none.
func (s *Server) leaderName() string {
	ask := http.Client{Timeout: time.Second}
	answer, err := ask.Get(s.monitor + "/jsz")
	if err != nil {
		return ""
	}
	defer func() { _ = answer.Body.Close() }()
	var seen struct {
		Meta struct {
			Leader string `json:"leader"`
		} `json:"meta_cluster"`
	}
	if json.NewDecoder(answer.Body).Decode(&seen) != nil {
		return ""
	}
	return seen.Meta.Leader
}

// LeadAll makes a broker the leader of every stream; the caller passes the
// cluster's leader.
func (c *Cluster) LeadAll(ctx context.Context, nc *nats.Conn, leader *Server) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("open JetStream: %w", err)
	}
	streams := js.StreamNames(ctx)
	var names []string
	for name := range streams.Name() {
		names = append(names, name)
	}
	if err := streams.Err(); err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	for _, name := range names {
		if err := leadStream(ctx, nc, js, name, leader.Name); err != nil {
			return err
		}
	}
	return nil
}

func leadStream(ctx context.Context, nc *nats.Conn, js jetstream.JetStream, name, leader string) error {
	wish := []byte(fmt.Sprintf(`{"placement":{"preferred":%q}}`, leader))
	leads := func() bool {
		asked, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		stream, err := js.Stream(asked, name)
		return err == nil && stream.CachedInfo().Cluster != nil && stream.CachedInfo().Cluster.Leader == leader
	}
	for end := time.Now().Add(startWait); time.Now().Before(end) && ctx.Err() == nil; clock.Pause(ctx, 300*time.Millisecond) {
		if leads() {
			return nil
		}
		_, _ = nc.Request("$JS.API.STREAM.LEADER.STEPDOWN."+name, wish, time.Second) // the loop checks the result
	}
	return fmt.Errorf("%s does not come to lead %s", leader, name)
}
