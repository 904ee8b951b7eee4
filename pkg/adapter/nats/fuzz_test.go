package bus

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/hostile"
	"clockwork/pkg/wire"
)

// named is a bucket with a name.
type named struct{ jetstream.KeyValue }

func (named) Bucket() string { return "b" }

// FuzzStored: whatever stands in the store, what is read of it can be stored
// again and reads the same.
func FuzzStored(f *testing.F) {
	for _, b := range hostile.Seeds() {
		f.Add(b)
	}
	for _, v := range []any{
		wire.StoredStage{Stage: protocol.Loading}, wire.StoredModel{ModelSpec: protocol.ModelSpec{Name: "m"}, Load: "l", Of: 2}, wire.StoredQuarantine{Model: "m", Reason: "why"},
		protocol.Profile{Digest: "d", Infer: make([]protocol.BatchMeasurement, 1)}, protocol.WorkerState{ID: "w", GPUs: make([]protocol.GPUState, 1)}, wire.StoredLease{ID: "i", Host: "h", Nonce: "n"},
		wire.StoredClaim{Held: true, Devices: map[string]string{"d": "p"}},
	} {
		f.Add(wire.EncodeBody(protocol.JSON, v))
	}
	state := &State{kv: named{}}
	f.Fuzz(func(t *testing.T, body []byte) {
		storedAgain[wire.StoredStage](t, body)
		storedAgain[wire.StoredModel](t, body)
		storedAgain[wire.StoredQuarantine](t, body)
		storedAgain[protocol.Profile](t, body)
		storedAgain[protocol.WorkerState](t, body)
		storedAgain[wire.StoredClaim](t, body)
		if v := valueOf(body); v != (wire.StoredLease{}) {
			storedAgain[wire.StoredLease](t, body)
		}
		for _, key := range []string{"stage", "model.m"} {
			if c, ok := state.changeOf(record{subject: "$KV.b." + key, data: body}); ok && ((key == "stage") != (c.Model == nil) || (key == "stage") == (c.Stage == 0)) {
				t.Fatalf("%s: %+v", key, c)
			}
		}
	})
}

func storedAgain[T any](t *testing.T, body []byte) {
	t.Helper()
	var v, again T
	var err error
	hostile.Within(t, 2048*len(body)+1<<20, "a value", func() {
		var fresh T
		err = decodeStored(body, &fresh)
		v = fresh
	})
	if err != nil {
		return
	}
	once, err := json.Marshal(v)
	if s, ok := any(v).(wire.StoredStage); err != nil || ok && s.Stage == 0 {
		return // a time of year 10,000, or no stage: we store neither
	}
	if err := decodeStored(once, &again); err != nil {
		t.Fatalf("%T: accepted once, then %v", v, err)
	}
	if twice, err := json.Marshal(again); err != nil || !bytes.Equal(once, twice) {
		t.Fatalf("%T: %s came back as %s, %v", v, once, twice, err)
	}
}

// FuzzRedacted: of what stands before a host, nothing but a user's name is shown.
func FuzzRedacted(f *testing.F) {
	f.Add("nats", "me", "", "", "host:4222")
	f.Add("tls", "", "to", "ken", "host")
	f.Add("", "me", "a,", ",b", "a:1")
	f.Add("nats", "me", "p@ss/w:", "rd", "[::1]:4222")
	f.Add("nats", "a,b", "://", ",://", "h")
	f.Fuzz(func(t *testing.T, scheme, user, before, after, host string) {
		const secret = "S3cR3t"
		url := user + ":" + before + secret + after + "@" + host
		if scheme != "" {
			url = scheme + "://" + url
		}
		if strings.Contains(scheme+user+host, secret) || strings.ContainsAny(before+after, ",") && strings.ContainsAny(user+before+after, "/@") {
			return // or what is cut in two is no user and password any more
		}
		if shown := Redacted(url); strings.Contains(shown, secret) {
			t.Fatalf("%q is shown as %q", url, shown)
		}
	})
}

// FuzzKeyFile: the inbox that a key's file names is the one that was written, and
// no error repeats what stands in a file that is none.
func FuzzKeyFile(f *testing.F) {
	f.Add("client.alice", "_INBOX_client.alice", []byte("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"))
	f.Add("", "", []byte(nil))
	f.Add("a", "b", bytes.Repeat([]byte("S"), 70_000))
	f.Add("a", "b", []byte("# inbox: other\n-----BEGIN USER NKEY SEED-----"))
	f.Fuzz(func(t *testing.T, user, inbox string, seed []byte) {
		path := filepath.Join(t.TempDir(), "key.nk")
		if err := os.WriteFile(path, KeyFile(user, inbox, seed), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := inboxOf(path)
		if oneLine := !strings.ContainsAny(user+inbox, "\r\n") && len(user+inbox) < 10_000; oneLine && (err != nil || got != strings.TrimSpace(inbox)) {
			t.Fatalf("%q was written, %q read: %v", inbox, got, err)
		}
		if _, err := (Credentials{NKey: path}).Options(); err != nil && len(seed) > 8 && strings.Contains(err.Error(), string(seed)) {
			t.Fatalf("the error holds what the file holds: %v", err)
		}
	})
}
