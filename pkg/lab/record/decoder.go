package record

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"clockwork/pkg/protocol"
)

// decoder reads the fields of a block's records. After its first error it
// returns zeros.
type decoder struct {
	rest []byte
	err  error
}

func (d *decoder) fail(what string) {
	if d.err == nil {
		d.err = errors.New(what)
	}
	d.rest = nil
}

func (d *decoder) byte() byte {
	if len(d.rest) == 0 {
		d.fail("a record is cut off")
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 {
		d.fail("a number is cut off")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.rest)
	if n <= 0 {
		d.fail("a number is cut off")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

func (d *decoder) span() protocol.Time { return protocol.Time(d.int()) }

func (d *decoder) duration() time.Duration { return time.Duration(d.int()) }

func (d *decoder) word() uint64 {
	if len(d.rest) < 8 {
		d.fail("a hash is cut off")
		return 0
	}
	v := binary.LittleEndian.Uint64(d.rest)
	d.rest = d.rest[8:]
	return v
}

func (d *decoder) text() string {
	n := d.uint()
	if n > uint64(len(d.rest)) {
		d.fail("a text is cut off")
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) json(s string, v any) {
	if d.err == nil {
		if err := json.Unmarshal([]byte(s), v); err != nil {
			d.fail(err.Error())
		}
	}
}

// unpack returns what was compressed, of at most maxEvent bytes.
func (d *decoder) unpack(packed []byte) []byte {
	if d.err != nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxEvent+1))
	switch {
	case err != nil:
		d.fail("an event does not unpack: " + err.Error())
	case len(body) > maxEvent:
		d.fail(fmt.Sprintf("an event of more than %d bytes", maxEvent))
	}
	return body
}
