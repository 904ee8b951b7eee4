package httpapi

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"sync"
)

// minCompressed is the size in bytes from which an answer is compressed where a client asks
// for that: below, it costs more than it saves.
const minCompressed = 1 << 10

// compressed returns an answer in an encoding that is known.
func compressed(body []byte, encoding string) []byte {
	var out bytes.Buffer
	pool := compressors[encoding]
	w := pool.Get().(compressor)
	defer pool.Put(w)
	w.Reset(&out)
	_, _ = w.Write(body) // into memory, which does not fail
	_ = w.Close()
	return out.Bytes()
}

// accepted is the first encoding of a header that is known, "" for none.
func accepted(header string) string {
	for part := range strings.SplitSeq(header, ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if q := strings.ReplaceAll(weight, " ", ""); q == "q=0" || strings.HasPrefix(q, "q=0.0") {
			continue
		}
		if compressors[name] != nil {
			return name
		}
	}
	return ""
}

type compressor interface {
	io.WriteCloser
	Reset(io.Writer)
}

// compressors are pooled: a new one costs a megabyte.
var compressors = map[string]*sync.Pool{
	"gzip": {New: func() any {
		w, _ := gzip.NewWriterLevel(io.Discard, gzip.BestSpeed)
		return w
	}},
	"deflate": {New: func() any {
		w, _ := zlib.NewWriterLevel(io.Discard, zlib.BestSpeed)
		return w
	}},
}
