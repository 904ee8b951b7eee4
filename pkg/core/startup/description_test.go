package startup

import (
	"encoding/json"
	"math/rand"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
)

// A model that the store cannot keep, or that leaves no room there for the stage, is refused
// when it is loaded, and taken back.
func TestAModelThatCannotBeStoredIsRefused(t *testing.T) {
	s := newScript(t)
	s.m.cfg.MaxDescription, s.m.cfg.MaxDescriptions = 1000, 2000
	long := "zoo/" + strings.Repeat("x", 1000)
	out := s.play(`
0s started LOADING
0s seen w1
0s state w1
1s load 1 ` + long + ` name=x
1s ok w1 ` + long + `
2s cleared w1
3s load 2 zoo/a copies=2
3s ok w1 zoo/a
3s stored
4s load 3 zoo/b copies=4
4s ok w1 zoo/b
4s cleared w1
5s load 4 zoo/c
5s ok w1 zoo/c
5s load 5 zoo/d
5s ok w1 zoo/d
5s storefail
5s unstored
5s cleared w1
5s cleared w1
6s load 6 zoo/e
6s ok w1 zoo/e
6s stored
`)
	s.m.cfg.MaxDescription = 100 // what was accepted stays
	out += s.play(`
7s load 7 zoo/a copies=2
7s ok w1 zoo/a
7s stored
`)
	inOrder(t, out,
		"w1 ClearCache", "x", "reply 1 MODEL_TOO_LARGE: its 0 inputs and 0 outputs take", "limit 1000",
		"reply 2 OK a-1 a-2",
		"w1 ClearCache", "b-1 b-2 b-3 b-4", "reply 3 MODEL_TOO_LARGE: the stack's models would take", "limit 2000",
		"store 2 [c]", "reply 5 MODEL_TOO_LARGE", // c is being stored
		"reply 4 STATE_UNAVAILABLE", "reply 6 OK e", // which is no more
		"reply 7 OK a-1 a-2")
	if want := newBytesOf(s.m); s.m.described != want {
		t.Errorf("the models take %d bytes, counted are %d", want, s.m.described)
	}
}

func newBytesOf(m *Machine) (n int64) {
	for _, s := range m.models {
		n += descriptionBytes(&s)
	}
	return n
}

// The bound holds for every model, whatever its names are.
func TestADescriptionTakesNoMoreThanIsCounted(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	text := func() string {
		b := make([]rune, rng.Intn(40))
		for i := range b {
			b[i] = []rune{'a', '"', '<', '\n', 0, 0x2028, 0x1f600, 'é', 0xfffd, 0x7f}[rng.Intn(10)]
		}
		return string(b) + string([]byte{0xff, 'x'}[:rng.Intn(3)])
	}
	for range 2000 {
		m := protocol.ModelSpec{Name: text(), Path: text(), Digest: text(), Backend: text(), BackendVersion: text(), Version: 1 << 30,
			BatchSizes: make([]int, rng.Intn(5)), AnyBatch: true, Mixes: true, WeightsBytes: 1 << 62, Pages: 1 << 30}
		for range rng.Intn(6) {
			tensor := protocol.TensorSpec{Name: text(), Datatype: protocol.Uint16}
			for range rng.Intn(8) {
				tensor.Shape = append(tensor.Shape, rng.Int63())
			}
			m.Inputs, m.Outputs = append(m.Inputs, tensor), append(m.Outputs, tensor)
		}
		whole, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if n := descriptionBytes(&m); n < int64(len(whole)) || n > 2*int64(len(whole))+1024 {
			t.Fatalf("%d bytes counted, %d taken: %s", n, len(whole), whole)
		}
	}
}
