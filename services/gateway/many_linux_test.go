package gateway

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"clockwork/pkg/adapter/access"
	"clockwork/pkg/testkit/bustest"
)

// files raises the limit of open files to what may be, and returns how many connections of
// this process to itself that allows, at most n.
func files(t testing.TB, n int) int {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	before := limit
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Logf("the limit of open files stays %d: %v", before.Cur, err)
		limit = before
	}
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &before) })
	const others = 500
	if limit.Cur < uint64(2*n+others) {
		less := int(limit.Cur-others) / 2
		t.Logf("%d connections instead of %d: this process may open %d files", less, n, limit.Cur)
		return less
	}
	return n
}

// memory is what the heap and the stacks of this process take.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// TestTenThousandHalfOpenConnections: a third of them says nothing, a third sends half of its
// headers, a third half of a body. Others are served meanwhile, what they hold is bounded, and
// nothing of them is left once they are gone.
func TestTenThousandHalfOpenConnections(t *testing.T) {
	n := files(t, 10_000)
	s := serving(t, func(c *Config) {
		c.HTTP.Connections = n + 100
		c.HTTP.HeaderTime, c.HTTP.BodyTime = 5*time.Minute, 5*time.Minute // nobody is given up while this lasts
	})
	goroutines, before := runtime.NumGoroutine(), memory()
	said := []string{
		"",
		"POST /v2/models/a/infer HTTP/1.1\r\nHost: localhost\r\nContent-Le",
		fmt.Sprintf("POST /v2/models/a/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(jsonInfer), jsonInfer[:len(jsonInfer)/2]),
	}
	conns := make([]net.Conn, 0, n)
	closeAll := func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	defer closeAll()
	for i := range n {
		c, err := net.Dial("tcp", s.config.HTTP.Listener.Addr().String())
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		conns = append(conns, c)
		if _, err := io.WriteString(c, said[i%len(said)]); err != nil {
			t.Fatal(err)
		}
	}
	bustest.Until(t, "all are accepted", func() bool { return runtime.NumGoroutine() >= goroutines+n })
	for range 20 {
		if a := s.infer("a", []byte(jsonInfer)); a.status != http.StatusOK {
			t.Fatalf("beside them: %d %s", a.status, a.body)
		}
	}
	each := (memory() - before) / int64(n)
	t.Logf("%d connections, %d bytes each", n, each)
	// Half of a body has 64 kB set aside, a third of the connections; the rest little.
	if each > 20_000+firstRead/3 {
		t.Errorf("%d connections take %d bytes each", n, each)
	}
	closeAll()
	bustest.Until(t, "nothing of them is left", func() bool {
		s.client.CloseIdleConnections()
		return runtime.NumGoroutine() <= goroutines+10
	})
	if a := s.infer("a", []byte(jsonInfer)); a.status != http.StatusOK {
		t.Errorf("then: %d %s", a.status, a.body)
	}
}

// firstRead is what is set aside for a body before it has come.
const firstRead = 64 << 10

// TestIdleConnectionsTakeLittle: connections that were served and stay open.
func TestIdleConnectionsTakeLittle(t *testing.T) {
	n := files(t, 2000)
	s := serving(t, func(c *Config) { c.HTTP.Connections = n + 100 })
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	buffer := make([]byte, 4096)
	serveOn := func(c net.Conn) {
		if _, err := fmt.Fprintf(c, "POST /v2/models/a/infer HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s", len(jsonInfer), jsonInfer); err != nil {
			t.Fatal(err)
		}
		if k, err := c.Read(buffer); err != nil || !strings.HasPrefix(string(buffer[:k]), "HTTP/1.1 200") {
			t.Fatalf("%q, %v", buffer[:k], err)
		}
	}
	before := memory()
	for range n {
		c, err := net.Dial("tcp", s.config.HTTP.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
		serveOn(c)
	}
	each := (memory() - before) / int64(n)
	t.Logf("%d idle connections, %d bytes each, the clients' side included", n, each)
	most := int64(20_000)
	if testing.Short() { // as under the race detector, which takes memory of its own
		most *= 2
	}
	if each > most {
		t.Errorf("an idle connection takes %d bytes", each)
	}
	for _, c := range conns[:10] {
		serveOn(c)
	}
}

// TestWhoIsTurnedAwayFromTLSIsTold, within TLS.
func TestWhoIsTurnedAwayFromTLSIsTold(t *testing.T) {
	a := newAuthority(t)
	a.issue("server")
	s := newStack(t, func(c *Config) {
		c.Gate = gateOf(t, access.Files{Cert: a.file("server.pem"), Key: a.file("server.key")})
		c.HTTP.Connections = 1
	})
	first := dial(t, s) // accepted, and silent
	bustest.Until(t, "another one is turned away", func() bool {
		c, err := tls.Dial("tcp", s.config.HTTP.Listener.Addr().String(), a.client(""))
		if err != nil {
			return false
		}
		defer func() { _ = c.Close() }()
		_, _ = io.WriteString(c, "GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
		told, _ := io.ReadAll(c)
		return strings.HasPrefix(string(told), "HTTP/1.1 503 ") && strings.Contains(string(told), `"limit":1`)
	})
	_ = first.Close()
}
