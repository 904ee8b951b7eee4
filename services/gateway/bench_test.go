package gateway

import (
	"fmt"
	"io"
	"net"
	"testing"

	"clockwork/pkg/wire"
)

// BenchmarkHTTP is a request with binary data both ways over a connection that stays open,
// with a broker, a scheduler and a worker in the same process.
func BenchmarkHTTP(b *testing.B) {
	s := serving(b, nil)
	body, size := binaryInfer(b)
	request := append(fmt.Appendf(nil, "POST /v2/models/a/infer HTTP/1.1\r\nHost: x\r\n%s: %s\r\nContent-Length: %d\r\n\r\n", wire.HeaderLength, size, len(body)), body...)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", s.config.HTTP.Listener.Addr().String())
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = c.Close() }()
		in := make([]byte, 4096)
		for pb.Next() {
			if _, err := c.Write(request); err != nil {
				b.Error(err)
				return
			}
			if n, err := io.ReadAtLeast(c, in, 20); err != nil || string(in[:12]) != "HTTP/1.1 200" {
				b.Errorf("%q, %v", in[:n], err)
				return
			}
		}
	})
}
