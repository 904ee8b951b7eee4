package wire

import (
	"bytes"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vmihailenco/msgpack/v5"

	"clockwork/pkg/protocol"
)

// TestWhatIsPackedTheLibraryReads and the other way round: at every length
// where the form changes.
func TestWhatIsPackedTheLibraryReads(t *testing.T) {
	edges := []int64{0, 1, 31, 32, 33, 127, 128, 255, 256, 32767, 32768, 65535, 65536, math.MaxInt32, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64}
	for _, n := range edges {
		for _, n := range []int64{n, -n, -n - 1} {
			var got int64
			if err := msgpack.Unmarshal(packInt(nil, n), &got); err != nil || got != n {
				t.Errorf("%d was read as %d, %v", n, got, err)
			}
			theirs, err := msgpack.Marshal(n) // of full width
			if r := (reader{body: theirs}); err != nil || r.int() != n || r.err != nil {
				t.Errorf("their %d: %v", n, r.err)
			}
			if r := (reader{body: packInt(nil, n)}); r.int() != n || r.err != nil {
				t.Errorf("our %d: %v", n, r.err)
			}
		}
		if n > 1<<17 {
			continue
		}
		word, raw, list := strings.Repeat("x", int(n)), bytes.Repeat([]byte{7}, int(n)), make([]int8, n)
		body := packText(packArray(nil, 3), word)
		body = packArray(packBin(body, raw), len(list))
		body = append(body, make([]byte, n)...)
		var got struct {
			_msgpack struct{} `msgpack:",as_array"`
			Word     string
			Raw      []byte
			List     []int8
		}
		if err := msgpack.Unmarshal(body, &got); err != nil || got.Word != word || !bytes.Equal(got.Raw, raw) || len(got.List) != int(n) {
			t.Errorf("length %d: %v", n, err)
		}
		r := reader{body: body}
		if r.array() != 3 || string(r.text()) != word || !bytes.Equal(r.text(), raw) || r.array() != int(n) || r.err != nil {
			t.Errorf("length %d: we read %v", n, r.err)
		}
	}
}

func TestAReaderStaysInsideItsBytes(t *testing.T) {
	for _, body := range append(bombs(), []byte{0xcf, 1}, []byte{0xd9, 5, 'a'}, []byte{0xcb, 0}, []byte{0xa2, 'a'}, []byte{0x92, 0}, []byte{0xde, 0, 2, 0}) {
		for name, read := range map[string]func(*reader){
			"int": func(r *reader) { r.int() }, "uint": func(r *reader) { r.uint() }, "float": func(r *reader) { r.float() },
			"flag": func(r *reader) { r.flag() }, "text": func(r *reader) { r.text() }, "skip": (*reader).skip,
			"array": func(r *reader) { r.array() }, "object": func(r *reader) { r.object() },
		} {
			r := reader{body: body}
			for range 3 { // after an error nothing more
				read(&r)
			}
			if r.at > len(body) {
				t.Errorf("%s of %.9x: at byte %d of %d", name, body, r.at, len(body))
			}
		}
	}
	for _, c := range []struct {
		body []byte
		read func(*reader)
	}{
		{[]byte{0xff}, func(r *reader) { r.uint() }},                                              // negative
		{packUint(nil, math.MaxUint64), func(r *reader) { r.int() }},                              // too large
		{packFloat(nil, 1), func(r *reader) { r.int() }},                                          // no integer
		{packNil(nil), func(r *reader) { r.int() }}, {packNil(nil), func(r *reader) { r.text() }}, // nothing
	} {
		r := reader{body: c.body}
		if c.read(&r); r.err == nil {
			t.Errorf("%x is accepted", c.body)
		}
	}
}

// TestRepliesAreWhatReflectionWouldWrite: the keys stand in protocol's tags and
// once more in the encoder.
func TestRepliesAreWhatReflectionWouldWrite(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 20 {
		var r protocol.InferResponse
		if i > 0 {
			fill(rng, reflect.ValueOf(&r).Elem(), 1)
		}
		plain := responseMsgpack{r.ModelName, r.ModelVersion, r.ID, r.Parameters, []tensorMsgpack{}}
		for _, x := range r.Outputs {
			plain.Outputs = append(plain.Outputs, tensorMsgpack{x.Name, x.Shape, x.Datatype, x.Data})
		}
		var want, got map[string]any
		if err := msgpack.Unmarshal(EncodeBody(protocol.Msgpack, plain), &want); err != nil {
			t.Fatal(err)
		}
		if err := msgpack.Unmarshal(EncodeResponse(protocol.Msgpack, &r), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("-reflection +ours:\n%s", diff)
		}
	}
}

func TestWordsAreThoseThatCame(t *testing.T) {
	var w words
	for range 2 {
		for i := range 3000 {
			b := []byte(strings.Repeat("m", i%70) + string(rune('0'+i%977)))
			if got := w.of(b); got != string(b) {
				t.Fatalf("%q became %q", b, got)
			}
		}
	}
	kept := w.of([]byte("null-17"))
	if n := testing.AllocsPerRun(10, func() { kept = w.of([]byte("null-17")) }); n != 0 || kept != "null-17" {
		t.Errorf("a known word takes %v allocations", n)
	}
}
