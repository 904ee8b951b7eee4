package protocol

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestAPayloadIsWrittenAsItsLength(t *testing.T) {
	for _, p := range []Payload{nil, {}, []byte("secret")} {
		text, err := json.Marshal(Output{Data: p})
		if err != nil || strings.Contains(string(text), "secret") {
			t.Fatalf("%s, %v", text, err)
		}
		var back Output
		if err := json.Unmarshal(text, &back); err != nil || len(back.Data) != len(p) || (back.Data == nil) != (p == nil) {
			t.Errorf("%q came back as %q from %s: %v", p, back.Data, text, err)
		}
	}
	for _, text := range []string{`-1`, `1e3`, `"c2VjcmV0"`, `[]`, `1073741825`, `9223372036854775808`} {
		var p Payload
		if err := json.Unmarshal([]byte(text), &p); err == nil {
			t.Errorf("%s is read as %d bytes", text, len(p))
		}
	}
}
