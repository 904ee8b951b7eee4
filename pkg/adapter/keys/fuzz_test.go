package keys

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// FuzzUser: the name of a key's file makes a user, who then stands in the
// broker's configuration: no name may end a line of it, or a list.
func FuzzUser(f *testing.F) {
	for _, seed := range []string{"", "worker", "worker.gpu-1", "worker.", "worker.worker", "operator.x", "client.a.b", "client.*", "client.\">\"", "client.a\n", "Client.a", "client." + strings.Repeat("a", 65)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := ParseUser(text)
		if err != nil {
			return
		}
		if u.String() != text {
			t.Fatalf("%q is %v", text, u)
		}
		for _, word := range []string{u.String(), u.Inbox()} {
			if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789-_.INBOX") != "" || strings.Contains(word, "..") {
				t.Fatalf("%q stands in the broker's configuration", word)
			}
		}
		if self := u.self(); self != "*" && strings.ContainsAny(self, ".*>") {
			t.Fatalf("%q may speak as %s", text, self)
		}
	})
}

// FuzzSeed: whatever a key's file holds, no error repeats any of it.
func FuzzSeed(f *testing.F) {
	dir := f.TempDir()
	if _, err := Write(Config{Dir: dir, Prefix: "clockwork"}); err != nil {
		f.Fatal(err)
	}
	whole, err := os.ReadFile(Seed(dir, User{Role: Client}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)-2])
	f.Add([]byte("SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"))
	f.Add([]byte("-----BEGIN USER NKEY SEED-----\nSUA\n------END USER NKEY SEED------\n"))
	f.Add(bytes.Repeat([]byte("S"), 100_000))
	f.Fuzz(func(t *testing.T, file []byte) {
		path := filepath.Join(t.TempDir(), "client.nk")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		key, second, err := publicKeys(path)
		switch {
		case err == nil && (!strings.HasPrefix(key, "U") || !strings.HasPrefix(second, "U") || key == second):
			t.Fatalf("%q is the key of a user", key)
		case err != nil && err.Error() != path+" holds no seed of a user's nkey":
			t.Fatalf("the error is %v", err)
		}
	})
}

// FuzzCertificate: a certificate and its key are taken when they belong together,
// and no error repeats any of the key's file.
func FuzzCertificate(f *testing.F) {
	dir := f.TempDir()
	w := &writer{config: Config{Dir: dir}}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true}
	if _, _, err := w.issue("ca", template, nil); err != nil {
		f.Fatal(err)
	}
	body, errBody := os.ReadFile(filepath.Join(dir, "ca.pem"))
	secret, errSecret := os.ReadFile(filepath.Join(dir, "ca.key"))
	if errBody != nil || errSecret != nil {
		f.Fatal(errBody, errSecret)
	}
	f.Add(body, secret)
	f.Add(secret, body)
	f.Add(body, []byte{})
	f.Add(body[:len(body)/2], secret)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), secret)
	f.Fuzz(func(t *testing.T, body, secret []byte) {
		w := &writer{config: Config{Dir: t.TempDir()}}
		for name, file := range map[string][]byte{"x.pem": body, "x.key": secret} {
			if err := os.WriteFile(filepath.Join(w.config.Dir, name), file, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		certificate, key, err := w.read("x")
		if err == nil && !key.PublicKey.Equal(certificate.PublicKey) {
			t.Fatal("a key of another certificate is taken")
		}
		if err != nil && len(secret) > 20 && strings.Contains(err.Error(), string(secret)) {
			t.Fatalf("the error holds the key: %v", err)
		}
	})
}
