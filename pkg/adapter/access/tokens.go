package access

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"

	"clockwork/pkg/protocol"
)

// A file of tokens has a line for each: the tenant's name, and the token's hash as sha256:HEX.
// Several lines may name one tenant, so that a token can be replaced while both are valid.
// Lines that begin with # and empty lines mean nothing.

// These bound a file of tokens, and what a client may send as one.
const (
	maxFile   = 1 << 20
	maxTokens = 10_000
	maxToken  = 512
)

// hashed precedes the hash of a token.
const hashed = "sha256:"

// digest is what tokens are compared by: a keyed hash, whose key this process alone knows. What
// a comparison takes says nothing about any token, since nobody outside can choose a digest.
type digest [sha256.Size]byte

// tokens are the tenants by what their tokens hash to.
type tokens struct {
	key    [sha256.Size]byte
	tenant map[digest]string
}

// readTokens reads a file of tokens.
func readTokens(file []byte) (*tokens, error) {
	t := &tokens{tenant: map[digest]string{}}
	_, _ = rand.Read(t.key[:]) // it never fails
	if len(file) > maxFile {
		return nil, fmt.Errorf("it has %d bytes, at most %d", len(file), maxFile)
	}
	number := 0
	for line := range bytes.Lines(file) {
		number++
		fields := strings.Fields(string(line))
		if len(fields) == 0 || fields[0][0] == '#' {
			continue
		}
		hash, err := readLine(fields)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		t.tenant[t.digest(hash)] = fields[0]
		if len(t.tenant) > maxTokens {
			return nil, fmt.Errorf("it has more than %d tokens", maxTokens)
		}
	}
	return t, nil
}

func readLine(fields []string) (hash [sha256.Size]byte, err error) {
	if len(fields) != 2 {
		return hash, fmt.Errorf("expected a tenant and %sHEX", hashed)
	}
	if err := checkTenant(fields[0]); err != nil {
		return hash, err
	}
	text, is := strings.CutPrefix(fields[1], hashed)
	if n, err := hex.Decode(hash[:], []byte(text[:min(len(text), 2*len(hash))])); !is || err != nil || n != len(hash) || len(text) != 2*len(hash) {
		return hash, fmt.Errorf("expected %s and %d hexadecimal digits, not the token itself", hashed, 2*len(hash))
	}
	return hash, nil
}

func checkTenant(name string) error {
	if !protocol.ValidName(name) || protocol.IsRole(name) {
		return fmt.Errorf("%.80q is no tenant's name: 1 to %d of a-z, 0-9, _ and -, and no role's", name, protocol.MaxName)
	}
	return nil
}

func (t *tokens) digest(hash [sha256.Size]byte) (d digest) {
	keyed := hmac.New(sha256.New, t.key[:])
	keyed.Write(hash[:])
	keyed.Sum(d[:0])
	return d
}

// find returns the tenant of a token.
func (t *tokens) find(token string) (tenant string, known bool) {
	tenant, known = t.tenant[t.digest(sha256.Sum256([]byte(token)))]
	return tenant, known
}

// NewToken makes a token of a tenant, and the line of the file that stands for it.
func NewToken(tenant string) (token, line string, err error) {
	if err := checkTenant(tenant); err != nil {
		return "", "", err
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // it never fails
	token = "cw_" + base64.RawURLEncoding.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(token))
	return token, tenant + " " + hashed + hex.EncodeToString(hash[:]) + "\n", nil
}
