package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysSaysWhatItWroteAndWhatIsNext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	for _, row := range []struct {
		args     []string
		says     []string
		saysNone string
	}{
		{[]string{dir}, []string{"operator.nk", "clockwork nats --config " + dir + "/broker/nats.conf", "clockwork worker --nkey"}, "SIGHUP"},
		{[]string{dir}, []string{"up to date"}, "Next,"},
		{[]string{dir, "--worker", "w1"}, []string{"worker.w1.nk", "SIGHUP", "worker.nk can still speak for every worker"}, "Next,"},
		{[]string{dir, "--tls", "localhost"}, []string{"server.pem"}, "Next,"},
	} {
		code, stdout, stderr := invoke(t, append([]string{"keys"}, row.args...)...)
		if code != 0 || stderr != "" {
			t.Fatalf("keys %v: exit code %d, stderr %q", row.args, code, stderr)
		}
		for _, part := range row.says {
			if !strings.Contains(stdout, part) {
				t.Errorf("keys %v does not say %q:\n%s", row.args, part, stdout)
			}
		}
		if strings.Contains(stdout, row.saysNone) {
			t.Errorf("keys %v says %q:\n%s", row.args, row.saysNone, stdout)
		}
	}
	code, stdout, _ := invoke(t, "keys", "--json", dir, "--client", "alice")
	var written struct {
		Written []struct{ Path string }
	}
	if err := json.Unmarshal([]byte(stdout), &written); err != nil || code != 0 || len(written.Written) != 4 {
		t.Errorf("exit code %d, %v in:\n%s", code, err, stdout)
	}
}

// TestSecretsAreNotShown, wherever they were put and whatever fails.
func TestSecretsAreNotShown(t *testing.T) {
	const seed, password = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY", "hunter2" // the seed is NATS's own example
	for _, env := range []map[string]string{
		{"NATS_URL": "nats://me:" + password + "@127.0.0.1:1"},
		{"NATS_URL": "nats://" + password + "@127.0.0.1:1"},
		{"NATS_URL": "nats://me:" + password + "@127.0.0.1:port"},
		{"NATS_URL": "nats://me:" + password + "%zz@127.0.0.1"},
		{"CLOCKWORK_NKEY": seed},
		{"CLOCKWORK_NKEY": seed, "NATS_URL": "nats://me:" + password + "@127.0.0.1:1"},
	} {
		t.Run("", func(t *testing.T) {
			for name, value := range env {
				t.Setenv(name, value)
			}
			for _, args := range []string{"ls", "ls --json", "state", "infer m", "load x", "healthcheck", "init --timeout 100ms", "init --timeout 100ms --json"} {
				code, stdout, stderr := invoke(t, strings.Fields(args)...)
				if code == 0 {
					t.Errorf("%v, %s: exit code 0", env, args)
				}
				if text := stdout + stderr; strings.Contains(text, seed) || strings.Contains(text, password) {
					t.Errorf("%s shows it:\n%s", args, text)
				}
			}
		})
	}
	file := filepath.Join(t.TempDir(), "some.nk")
	if err := os.WriteFile(file, []byte(seed[:40]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := invoke(t, "ls", "--nkey", file); code != 2 || strings.Contains(stdout+stderr, seed[:20]) {
		t.Errorf("a broken seed: exit code %d, %s%s", code, stdout, stderr)
	}
}
