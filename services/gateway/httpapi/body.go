package httpapi

import (
	"bufio"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"net/http"
	"os"

	"clockwork/pkg/protocol"
	"clockwork/services/gateway/oip"
)

// A body is read before anything of it is decoded, within bounds of its size, of the time that
// it takes and of the bytes of all bodies that are being read.

// firstRead is how many bytes are set aside for a body before any of it has come; a longer one
// gets more as it comes, so that a client who sends slowly holds little.
const firstRead = 64 << 10

// readBody reads the body of a call, uncompressed. hold counts its bytes until it is given
// back.
func (c *call) readBody(limit int64, hold *oip.Reading) ([]byte, *protocol.Error) {
	if c.r.ContentLength > limit {
		return nil, tooLarge(c.r.ContentLength, limit)
	}
	encoding := c.r.Header.Get("Content-Encoding")
	if encoding == "" || encoding == "identity" {
		return read(c.r.Body, c.r.ContentLength, limit, hold)
	}
	compressed := bufio.NewReader(c.r.Body)
	from, fault := uncompressed(compressed, encoding)
	if fault != nil {
		return nil, fault
	}
	body, fault := read(from, -1, limit, hold)
	if fault != nil {
		return nil, fault
	}
	if _, err := compressed.ReadByte(); !errors.Is(err, io.EOF) {
		return nil, protocol.Errorf(protocol.BadMessage, "bytes follow the compressed body")
	}
	return body, nil
}

// uncompressed returns what reads a body.
func uncompressed(compressed *bufio.Reader, encoding string) (from io.Reader, fault *protocol.Error) {
	var err error
	switch encoding {
	case "gzip":
		from, err = gzip.NewReader(compressed)
	case "deflate":
		from, err = zlib.NewReader(compressed)
	default:
		return nil, protocol.Errorf(protocol.BadMessage, "the content encoding %.40q is not known; gzip and deflate are", encoding)
	}
	if err != nil {
		return nil, unreadable(err)
	}
	return from, nil
}

// read reads up to limit bytes; expected is how many there are, -1 if that is not known.
func read(from io.Reader, expected, limit int64, hold *oip.Reading) ([]byte, *protocol.Error) {
	whole := limit + 1 // one more than may come, to see whether it does
	if expected >= 0 {
		whole = expected
	}
	var body []byte
	for int64(len(body)) != whole {
		if len(body) == cap(body) {
			size := min(whole, max(firstRead, 2*int64(cap(body))))
			if fault := hold.Take(size - int64(cap(body))); fault != nil {
				return nil, fault
			}
			body = append(make([]byte, 0, size), body...)
		}
		n, err := from.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, unreadable(err)
		}
	}
	if int64(len(body)) > limit {
		return nil, protocol.Errorf(protocol.PayloadTooLarge, "the body has more than the %d bytes that are taken", limit)
	}
	return body, nil
}

func tooLarge(got, limit int64) *protocol.Error {
	fault := protocol.Errorf(protocol.PayloadTooLarge, "the body has %d bytes, and %d are taken", got, limit)
	fault.Got, fault.Limit = got, limit
	return fault
}

func unreadable(err error) *protocol.Error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return protocol.Errorf(protocol.BadMessage, "the body did not come in time")
	}
	return protocol.Errorf(protocol.BadMessage, "the body cannot be read: %v", err)
}

// bodyRead ends the time for the body: the connection stays open for as long as the answer
// takes.
func (c *call) bodyRead() {
	if err := http.NewResponseController(c.w).SetReadDeadline(noDeadline); err != nil {
		c.log.Debug("time of a connection not set", "error", err)
	}
}
