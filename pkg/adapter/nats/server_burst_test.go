package bus

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"clockwork/pkg/testkit/logtext"
)

// reader is a connection that subscribes to a subject, and takes nothing until it is told to.
type reader struct {
	t  *testing.T
	nc net.Conn
	in *bufio.Reader
}

func newReader(t *testing.T, s *server.Server, subject string) *reader {
	t.Helper()
	nc, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	if err := nc.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	r := &reader{t, nc, bufio.NewReader(nc)}
	fmt.Fprintf(nc, "CONNECT {\"verbose\":false}\r\nSUB %s 1\r\nPING\r\n", subject)
	for {
		line, err := r.in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "PONG") {
			return r
		}
	}
}

// takes reads messages until there were so many bytes of payload.
func (r *reader) takes(want int64) error {
	for got := int64(0); got < want; {
		line, err := r.in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", got, err)
		}
		if !strings.HasPrefix(line, "MSG ") {
			continue
		}
		f := strings.Fields(line)
		n, err := strconv.Atoi(f[len(f)-1])
		if err == nil {
			_, err = io.CopyN(io.Discard, r.in, int64(n)+2)
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", got, err)
		}
		got += int64(n)
	}
	return nil
}

// burstServer is a server with our settings, but for the time in which a connection has to
// take something.
func burstServer(t *testing.T, deadline time.Duration) *server.Server {
	t.Helper()
	o, err := ServerConfig{Host: "127.0.0.1", Port: server.RANDOM_PORT, DataDir: t.TempDir()}.options()
	if err != nil {
		t.Fatal(err)
	}
	o.WriteDeadline = deadline
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { StopServer(s) })
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	return s
}

func publishBurst(t *testing.T, s *server.Server, messages int) {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	body := make([]byte, MaxPayload-256)
	for range messages {
		if err := nc.Publish("x", body); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
}

// A burst of 12 of the largest messages, and more, waits at the broker for a connection that
// does not take it yet.
func TestABurstOfLargeMessagesWaits(t *testing.T) {
	s := burstServer(t, time.Hour) // how busy this machine is does not matter
	r := newReader(t, s, "x")
	publishBurst(t, s, 24)
	if err := r.takes(24 * (MaxPayload - 256)); err != nil {
		t.Errorf("the broker does not send it all: %v", err)
	}
}

// A connection that takes a burst slowly is not closed: the server has 64 MiB written within
// the deadline or, where it does not, tries again.
func TestABurstIsTakenSlowly(t *testing.T) {
	const messages, deadline = 12, time.Second
	s := burstServer(t, deadline)
	r := newReader(t, s, "x")
	publishBurst(t, s, messages)
	began := time.Now()
	r.in = bufio.NewReaderSize(slowly{r.nc}, 1<<20)
	if err := r.takes(messages * (MaxPayload - 256)); err != nil {
		t.Errorf("the broker does not send it all: %v", err)
	}
	if took := time.Since(began); took < 2*deadline {
		t.Errorf("taken within %v: the test proves nothing", took)
	}
}

// slowly takes 25 MB a second.
type slowly struct{ nc net.Conn }

func (s slowly) Read(into []byte) (int, error) {
	n, err := s.nc.Read(into)
	time.Sleep(time.Duration(n) * time.Second / (25 << 20))
	return n, err
}

// What the broker warns of is in our log, also what it says of connections that it closes
// for their slowness, which it calls a notice.
func TestTheBrokersWarningsAreInOurLog(t *testing.T) {
	log := &logtext.Buffer{}
	s, err := StartServer(ServerConfig{DontListen: true, DataDir: t.TempDir(),
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	StopServer(s)
	if !strings.Contains(log.String(), "level=DEBUG msg=\"the broker says\" service=broker text=\"Server is ready\"") {
		t.Errorf("the server's notices are not in\n%s", log)
	}
	l := &serverLog{log: slog.New(slog.NewTextHandler(log, nil))}
	l.Noticef("%s - Slow Consumer Detected: MaxPending of %d Exceeded", "127.0.0.1:1 - cid:7", 64)
	l.Warnf("another %d", 1) // within the same second
	l.Errorf("JetStream %s", "fails")
	for _, want := range []string{
		`level=WARN msg="the broker warns" count=1 latest="127.0.0.1:1 - cid:7 - Slow Consumer Detected: MaxPending of 64 Exceeded"`,
		`level=ERROR msg="the broker reports an error" count=1 latest="JetStream fails"`,
	} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log)
		}
	}
	if strings.Contains(log.String(), "another 1") {
		t.Errorf("two warnings in a second:\n%s", log)
	}
}

// The configurations in deploy keep as much as the broker of clockwork nats.
func TestTheConfigurationsKeepAsMuch(t *testing.T) {
	for _, file := range []string{"../../../deploy/nats.conf", "../../../deploy/nats-cluster.conf"} {
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^max_pending: (\d+)MB$`).FindSubmatch(body)
		if found == nil || string(found[1]) != strconv.Itoa(MaxPending>>20) {
			t.Errorf("%s has max_pending %s MB, want %d", file, found, MaxPending>>20)
		}
		if !strings.Contains(string(body), "\nwrite_timeout: retry\n") {
			t.Errorf("%s closes a connection that takes a burst slowly", file)
		}
	}
}
