package access

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clockwork/pkg/protocol"
)

func newToken(t testing.TB, tenant string) (token, line string) {
	t.Helper()
	token, line, err := NewToken(tenant)
	if err != nil {
		t.Fatal(err)
	}
	return token, line
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestATokenIsItsTenants(t *testing.T) {
	alice, first := newToken(t, "alice")
	again, second := newToken(t, "alice")
	bob, third := newToken(t, "bob")
	stranger, _ := newToken(t, "eve")
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, "# clients\n\n"+first+"  "+second+third)
	if body, _ := os.ReadFile(file); bytes.Contains(body, []byte(alice)) {
		t.Error("the file has the token itself")
	}
	g, err := Open(Files{Tokens: file})
	if err != nil {
		t.Fatal(err)
	}
	for header, want := range map[string]string{
		"Bearer " + alice: "alice", "Bearer " + again: "alice", "bearer  " + bob + " ": "bob",
		"": "!", "Bearer": "!", "Bearer ": "!", "Bearer " + stranger: "!", "Basic " + alice: "!", alice: "!", "Bearer " + alice + "x": "!", "Bearer " + alice[1:]: "!",
		"Bearer " + strings.Repeat("a", maxToken+1): "!", "Bearer \x00\xff": "!", "Bearer " + third[len("bob sha256:"):]: "!",
	} {
		tenant, refusal := g.Tenant(header)
		if refusal != nil {
			tenant = "!"
			if refusal.Code != protocol.Unauthenticated || refusal.Retryable || strings.Contains(refusal.Message, alice) {
				t.Errorf("%q: %v", header, refusal)
			}
		}
		if tenant != want {
			t.Errorf("%q is %q's, want %q", header, tenant, want)
		}
	}
}

func TestWithoutFilesEverybodyMayComeIn(t *testing.T) {
	g, err := Open(Files{})
	if tenant, refusal := g.Tenant("Bearer anything"); err != nil || g != nil || tenant != "" || refusal != nil || g.TLS() != nil {
		t.Errorf("%v, %v, %q, %v", g, err, tenant, refusal)
	}
	g.Watch(t.Context(), slog.New(slog.DiscardHandler))
}

func TestFilesThatAreNone(t *testing.T) {
	_, line := newToken(t, "alice")
	hash := strings.TrimSpace(strings.TrimPrefix(line, "alice sha256:"))
	many := &strings.Builder{}
	for i := range maxTokens + 1 {
		sum := sha256.Sum256(fmt.Append(nil, i))
		fmt.Fprintf(many, "t sha256:%s\n", hex.EncodeToString(sum[:]))
	}
	for says, file := range map[string]string{
		"line 2":          "# one\nalice\n",
		"no tenant":       "Alice sha256:" + hash,
		"no role":         "operator sha256:" + hash,
		"not the token":   "alice cw_secret",
		"hexadecimal":     "alice sha256:" + hash[:62],
		"hexadecimal ":    "alice sha256:" + hash + "00",
		"hexadecimal  ":   "alice sha256:" + strings.Repeat("g", 64),
		"expected a":      "alice sha256:" + hash + " alice",
		"more than 10000": many.String(),
		"bytes, at most":  strings.Repeat("#", maxFile+1),
	} {
		name := filepath.Join(t.TempDir(), "tokens")
		write(t, name, file)
		if g, err := Open(Files{Tokens: name}); err == nil || !strings.Contains(err.Error(), strings.TrimSpace(says)) {
			t.Errorf("%q: %v, %v", says, g, err)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells what the file has: %v", err)
		}
	}
	for _, f := range []Files{{Cert: "x"}, {Key: "x"}, {ClientCA: "x"}, {Tokens: "/nowhere"}, {Cert: "/nowhere", Key: "/nowhere"}} {
		if g, err := Open(f); err == nil {
			t.Errorf("%+v: %v", f, g)
		}
	}
}

// TestChangesAreTaken: a file that changes is read again; one that is wrong, or gone, changes
// nothing, and is said once.
func TestChangesAreTaken(t *testing.T) {
	alice, first := newToken(t, "alice")
	bob, second := newToken(t, "bob")
	file := filepath.Join(t.TempDir(), "tokens")
	write(t, file, first)
	g, err := Open(Files{Tokens: file})
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	refresh := func(warnings int, known, unknown string) {
		t.Helper()
		said.Reset()
		g.refresh(log)
		g.refresh(log)
		if n := strings.Count(said.String(), "WARN"); n != warnings {
			t.Errorf("%d warnings, want %d: %s", n, warnings, &said)
		}
		if _, refusal := g.Tenant("Bearer " + known); refusal != nil {
			t.Errorf("a token that is in the file: %v", refusal)
		}
		if tenant, refusal := g.Tenant("Bearer " + unknown); refusal == nil {
			t.Errorf("a token that is not is %s's", tenant)
		}
	}
	refresh(0, alice, bob)
	write(t, file, second+"\n")
	refresh(0, bob, alice)
	write(t, file, "nonsense\n")
	refresh(1, bob, alice)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	refresh(1, bob, alice)
	write(t, file, "# none any more\n"+first)
	refresh(0, alice, bob)
}

func FuzzTokens(f *testing.F) {
	_, line := newToken(f, "alice")
	f.Add([]byte("# x\n\n" + line))
	f.Add([]byte("alice sha256:"))
	f.Add([]byte("a sha256:" + strings.Repeat("0", 65)))
	f.Fuzz(func(t *testing.T, file []byte) {
		read, err := readTokens(file)
		if err == nil && (len(read.tenant) > maxTokens || len(read.tenant) > len(file)/64) {
			t.Errorf("%d tokens in %d bytes", len(read.tenant), len(file))
		}
		if err == nil {
			for _, tenant := range read.tenant {
				if !protocol.ValidName(tenant) {
					t.Errorf("%q is a tenant", tenant)
				}
			}
		}
	})
}

func BenchmarkTenant(b *testing.B) {
	alice, line := newToken(b, "alice")
	file := filepath.Join(b.TempDir(), "tokens")
	write(b, file, line)
	g, err := Open(Files{Tokens: file})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, refusal := g.Tenant("Bearer " + alice); refusal != nil {
			b.Fatal(refusal)
		}
	}
}
