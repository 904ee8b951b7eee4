package grpcapi

import (
	"compress/zlib"
	"io"
	"sync"

	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/gzip" // messages may be compressed with it
)

func init() { encoding.RegisterCompressor(&deflate{}) }

// deflate is the compression "deflate" of gRPC: the format of zlib.
type deflate struct{ writers sync.Pool }

// Name implements encoding.Compressor.
func (*deflate) Name() string { return "deflate" }

// Decompress implements encoding.Compressor.
func (*deflate) Decompress(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }

// Compress implements encoding.Compressor.
func (d *deflate) Compress(w io.Writer) (io.WriteCloser, error) {
	z, ok := d.writers.Get().(*zlib.Writer)
	if !ok {
		z = zlib.NewWriter(w)
	}
	z.Reset(w)
	return &deflating{z, &d.writers}, nil
}

// deflating gives its writer back when it is closed.
type deflating struct {
	*zlib.Writer
	pool *sync.Pool
}

// Close implements io.Closer.
func (d *deflating) Close() error {
	err := d.Writer.Close()
	d.pool.Put(d.Writer)
	return err
}
