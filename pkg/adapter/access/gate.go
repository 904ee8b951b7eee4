package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"clockwork/pkg/protocol"
)

// Files are what a gate reads, each "" for none.
type Files struct {
	// Tokens are of tenants. With it, whoever shows none of them is refused.
	Tokens string
	// Cert and Key are the server's certificate and its private key: with them, clients speak
	// TLS. ClientCA signed the certificates that clients must have.
	Cert, Key, ClientCA string
}

// Proves reports whether clients have to prove who they are.
func (f Files) Proves() bool { return f.Tokens != "" || f.ClientCA != "" }

// Validate returns an error that names what is missing.
func (f Files) Validate() error {
	if (f.Cert == "") != (f.Key == "") {
		return errors.New("a certificate and its key go together")
	}
	if f.ClientCA != "" && f.Cert == "" {
		return errors.New("certificates of clients need one of the server")
	}
	return nil
}

// Gate lets clients in. A nil Gate lets everybody in.
type Gate struct {
	files  Files
	stamps [4]stamp // of the files, as they were read last
	tokens atomic.Pointer[tokens]
	tls    atomic.Pointer[tls.Config]
}

// stamp tells versions of a file apart.
type stamp struct {
	modified time.Time
	size     int64
}

// Open reads the files. It returns nil for none.
func Open(files Files) (*Gate, error) {
	if err := files.Validate(); err != nil {
		return nil, err
	}
	if files == (Files{}) {
		return nil, nil
	}
	g := &Gate{files: files}
	g.stamps, _ = g.look()
	return g, g.read()
}

// look returns the stamps of the files.
func (g *Gate) look() (stamps [4]stamp, err error) {
	for i, name := range []string{g.files.Tokens, g.files.Cert, g.files.Key, g.files.ClientCA} {
		if name == "" {
			continue
		}
		info, e := os.Stat(name)
		if e != nil {
			err = e // it is being replaced, or gone
			continue
		}
		stamps[i] = stamp{info.ModTime(), info.Size()}
	}
	return stamps, err
}

// read reads all files, and takes them if all are right.
func (g *Gate) read() error {
	var t *tokens
	var config *tls.Config
	if g.files.Tokens != "" {
		file, err := readFile(g.files.Tokens)
		if err == nil {
			t, err = readTokens(file)
		}
		if err != nil {
			return fmt.Errorf("read tokens of %s: %w", g.files.Tokens, err)
		}
	}
	if g.files.Cert != "" {
		var err error
		if config, err = g.readTLS(); err != nil {
			return err
		}
	}
	g.tokens.Store(t)
	g.tls.Store(config)
	return nil
}

func (g *Gate) readTLS() (*tls.Config, error) {
	certificate, err := tls.LoadX509KeyPair(g.files.Cert, g.files.Key)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s: %w", g.files.Cert, err)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols, Certificates: []tls.Certificate{certificate}}
	if g.files.ClientCA == "" {
		return config, nil
	}
	file, err := readFile(g.files.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("read authority of clients: %w", err)
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(file) {
		return nil, fmt.Errorf("read authority of clients: %s has no certificate in PEM", g.files.ClientCA)
	}
	return config, nil
}

// protocols are what clients may speak within TLS.
var protocols = []string{"h2", "http/1.1"}

// readFile reads a file of at most maxFile bytes, and one more to see whether it has more.
func readFile(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	return io.ReadAll(io.LimitReader(file, maxFile+1))
}

// TLS is the configuration of a listener, which follows the files; nil if there is no
// certificate.
func (g *Gate) TLS() *tls.Config {
	if g == nil || g.tls.Load() == nil {
		return nil
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: protocols,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return g.tls.Load(), nil },
	}
}

// Tenant returns whose the token in an Authorization header is: "" for nobody in particular,
// where no tokens are asked for.
func (g *Gate) Tenant(authorization string) (tenant string, refusal *protocol.Error) {
	if g == nil {
		return "", nil
	}
	of := g.tokens.Load()
	if of == nil {
		return "", nil
	}
	scheme, token, _ := strings.Cut(authorization, " ")
	token = strings.TrimSpace(token)
	switch {
	case authorization == "":
		return "", protocol.Errorf(protocol.Unauthenticated, "a token is asked for: send the header Authorization: Bearer TOKEN")
	case !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > maxToken:
		return "", protocol.Errorf(protocol.Unauthenticated, "the header Authorization is not: Bearer TOKEN")
	}
	tenant, known := of.find(token)
	if !known {
		return "", protocol.Errorf(protocol.Unauthenticated, "the token is not known")
	}
	return tenant, nil
}

// lookEvery is how often the files are looked at.
const lookEvery = time.Second

// Watch reads the files again when they change, until ctx ends. What cannot be read is logged,
// once for each change, and what was read before stays.
func (g *Gate) Watch(ctx context.Context, log *slog.Logger) {
	if g == nil {
		return
	}
	every := time.NewTicker(lookEvery)
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
			g.refresh(log)
		}
	}
}

// refresh reads the files again if one has changed.
func (g *Gate) refresh(log *slog.Logger) {
	now, err := g.look()
	if now == g.stamps {
		return
	}
	g.stamps = now
	if err == nil {
		err = g.read()
	}
	if err != nil {
		log.Warn("files of tokens and certificates not read again; what was read before stays", "error", err)
		return
	}
	log.Info("files of tokens and certificates read again")
}
