package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clockwork/pkg/adapter/access"
)

// TestATokenIsPrintedOnce: the file has its hash, behind what was there, and a gateway knows it.
func TestATokenIsPrintedOnce(t *testing.T) {
	file := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(file, []byte("# without an end of line"), 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for _, tenant := range []string{"alice", "bob"} {
		code, stdout, stderr := invoke(t, "token", tenant, file)
		token := strings.TrimSpace(stdout)
		if code != 0 || stderr != "" || len(token) < 40 || strings.ContainsAny(token, " \n") {
			t.Fatalf("exit code %d: %q %q", code, stdout, stderr)
		}
		tokens[token] = tenant
	}
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	gate, err := access.Open(access.Files{Tokens: file})
	if err != nil {
		t.Fatal(err)
	}
	for token, tenant := range tokens {
		if got, refusal := gate.Tenant("Bearer " + token); got != tenant || refusal != nil || strings.Contains(string(body), token) {
			t.Errorf("%s's token is %q's, %v; the file:\n%s", tenant, got, refusal, body)
		}
	}
	for _, name := range []string{"Alice", "operator", "a.b", ""} {
		if code, _, stderr := invoke(t, "token", name, file); code != 2 || !strings.Contains(stderr, "tenant") {
			t.Errorf("%q: exit code %d, %s", name, code, stderr)
		}
	}
}
