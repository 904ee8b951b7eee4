package gateway

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"clockwork/pkg/adapter/access"
	"clockwork/pkg/core/quota"
	"clockwork/pkg/protocol"
	"clockwork/pkg/testkit/bustest"
	"clockwork/pkg/watch"
	"clockwork/services/gateway/grpcapi/oippb"
)

// tokensOf makes a file of tokens, one for each tenant.
func tokensOf(t testing.TB, tenants ...string) (file string, tokens map[string]string) {
	t.Helper()
	file, tokens = filepath.Join(t.TempDir(), "tokens"), map[string]string{}
	var lines strings.Builder
	for _, tenant := range tenants {
		token, line, err := access.NewToken(tenant)
		if err != nil {
			t.Fatal(err)
		}
		tokens[tenant] = token
		lines.WriteString(line)
	}
	put(t, file, []byte(lines.String()))
	return file, tokens
}

func put(t testing.TB, file string, body []byte) {
	t.Helper()
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
}

func gateOf(t testing.TB, files access.Files) *access.Gate {
	t.Helper()
	g, err := access.Open(files)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestATokenSaysWhoseRequestItIs: over HTTP and gRPC. Each tenant has its limits, and its name
// is in what is reported; without a token only the health is told.
func TestATokenSaysWhoseRequestItIs(t *testing.T) {
	file, tokens := tokensOf(t, "alice", "bob")
	tenants := make(chan string, 100)
	s := newStack(t, func(c *Config) {
		c.Gate = gateOf(t, access.Files{Tokens: file})
		few := quota.Unlimited
		few.Rate, few.Burst = 0.001, 2
		c.Limits = quota.Rules{Tenants: map[string]quota.Limit{"alice": few}, Others: quota.Unlimited, Anonymous: quota.Unlimited, OtherModels: quota.Unlimited}
	})
	s.config.Telemetry.OnRequest(func(r *watch.Request) { tenants <- r.Tenant + " " + string(r.Code) })
	s.token = tokens["bob"]
	s.activate()
	s.token = ""

	for _, path := range []string{"/v2/health/live", "/v2/health/ready"} {
		if status, body := s.get(path); status != http.StatusOK {
			t.Errorf("a probe without a token: %d %s", status, body)
		}
	}
	for _, path := range []string{"/v2", "/v2/models/a", "/v2/models/nobody", "/v2/models/a/ready", "/nowhere", "/v2/health", "/v2/models/a/config"} {
		a := s.do(http.MethodGet, path, nil)
		if a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") != "Bearer" || a.field("code") != string(protocol.Unauthenticated) {
			t.Errorf("%s without a token: %d %v %s", path, a.status, a.header, a.body)
		}
	}
	c := dial(t, s) // nobody reads a body without a token
	c.say("POST /v2/models/a/infer HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer wrong\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n\r\n")
	if line := c.line(); !strings.HasPrefix(line, "HTTP/1.1 401") {
		t.Errorf("a wrong token: %q", line)
	}
	overGRPC := func(token string) codes.Code {
		ctx, cancel := context.WithTimeout(t.Context(), bustest.Wait)
		defer cancel()
		if token != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
		}
		_, err := s.inferOver(ctx, rawInfer("r"))
		return status.Code(err)
	}
	for token, want := range map[string]codes.Code{"": codes.Unauthenticated, "wrong": codes.Unauthenticated, tokens["alice"]: codes.OK, tokens["bob"]: codes.OK} {
		if code := overGRPC(token); code != want {
			t.Errorf("over gRPC with %q: %v, want %v", token, code, want)
		}
	}
	if err := s.call("ServerReady", &oippb.ServerReadyRequest{}, &oippb.ServerReadyResponse{}); err != nil {
		t.Errorf("a probe over gRPC: %v", err)
	}
	if err := s.call("ServerMetadata", &oippb.ServerMetadataRequest{}, &oippb.ServerMetadataResponse{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("metadata over gRPC: %v", err)
	}

	// alice may have two requests, one of which she had; bob any number.
	for i, want := range []int{http.StatusOK, http.StatusTooManyRequests, http.StatusTooManyRequests} {
		a := s.infer("a", []byte(jsonInfer), "Authorization", "Bearer "+tokens["alice"])
		if a.status != want || want != http.StatusOK && a.field("limit_of") != "tenant.rate" {
			t.Errorf("alice's request %d: %d %s", i, a.status, a.body)
		}
		if a := s.infer("a", []byte(jsonInfer), "Authorization", "Bearer "+tokens["bob"]); a.status != http.StatusOK {
			t.Errorf("bob's request %d: %d %s", i, a.status, a.body)
		}
	}
	if code := overGRPC(tokens["alice"]); code != codes.ResourceExhausted {
		t.Errorf("alice's last request, over gRPC: %v", code)
	}
	got := map[string]int{}
	for range 9 {
		got[bustest.Next(t, "the report of a request", tenants)]++
	}
	if got["alice OK"] != 2 || got["alice LIMIT_EXCEEDED"] != 3 || got["bob OK"] != 4 {
		t.Errorf("reported are %v", got)
	}
}

// TestATokenIsTakenBack: a file that changes is read again, also for a stream that is open.
func TestATokenIsTakenBack(t *testing.T) {
	file, tokens := tokensOf(t, "alice")
	s := newStack(t, func(c *Config) { c.Gate = gateOf(t, access.Files{Tokens: file}) })
	s.token = tokens["alice"]
	s.activate()
	stream := s.stream(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+tokens["alice"]))
	exchange := func() string {
		var answer oippb.ModelStreamInferResponse
		if err := stream.SendMsg(rawInfer("r")); err != nil {
			t.Fatal(err)
		}
		if err := stream.RecvMsg(&answer); err != nil {
			t.Fatal(err)
		}
		return answer.ErrorMessage
	}
	if said := exchange(); said != "" {
		t.Fatalf("with a token: %s", said)
	}
	put(t, file, []byte("# nobody\n"))
	bustest.Until(t, "the token is not taken any more", func() bool {
		status, _ := s.get("/v2/models/a/ready")
		return status == http.StatusUnauthorized
	})
	if said := exchange(); !strings.HasPrefix(said, "UNAUTHENTICATED") {
		t.Errorf("in a stream: %q", said)
	}
}

// authority signs certificates.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca")
	return a
}

// issue writes a certificate and its key, signed by the authority, or by itself if there is none.
func (a *authority) issue(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	a.last++
	template := &x509.Certificate{
		SerialNumber: big.NewInt(a.last), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: a.key == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := a.cert, a.key
	if signer == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	put(a.t, a.file(name+".key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	put(a.t, a.file(name+".pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) file(name string) string { return filepath.Join(a.dir, name) }

// client is the configuration of a client with a certificate, "" for none.
func (a *authority) client(name string) *tls.Config {
	a.t.Helper()
	c := &tls.Config{RootCAs: x509.NewCertPool()}
	c.RootCAs.AddCert(a.cert)
	if name != "" {
		certificate, err := tls.LoadX509KeyPair(a.file(name+".pem"), a.file(name+".key"))
		if err != nil {
			a.t.Fatal(err)
		}
		c.Certificates = []tls.Certificate{certificate}
	}
	return c
}

// TestClientsSpeakTLS over HTTP/1.1, HTTP/2 and gRPC, with certificates of their own. The
// server's certificate is read again when it changes.
func TestClientsSpeakTLS(t *testing.T) {
	a := newAuthority(t)
	a.issue("server")
	a.issue("alice")
	files := access.Files{Cert: a.file("server.pem"), Key: a.file("server.key"), ClientCA: a.file("ca.pem")}
	s := newStack(t, func(c *Config) { c.Gate = gateOf(t, files) })
	s.url = strings.Replace(s.url, "http:", "https:", 1)
	get := func(config *tls.Config, h2 bool) (*http.Response, error) {
		transport := &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: h2, DisableKeepAlives: !h2}
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/v2/health/live", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := transport.RoundTrip(r)
		if err == nil {
			_ = res.Body.Close()
		}
		return res, err
	}
	for _, h2 := range []bool{false, true} {
		res, err := get(a.client("alice"), h2)
		if err != nil || res.StatusCode != http.StatusOK || (res.ProtoMajor == 2) != h2 {
			t.Errorf("with a certificate: %+v, %v", res, err)
		}
		if res, err := get(a.client(""), h2); err == nil {
			t.Errorf("without a certificate: %+v", res)
		}
	}
	other := newAuthority(t)
	other.issue("eve")
	eve := a.client("")
	eve.Certificates = other.client("eve").Certificates
	if res, err := get(eve, false); err == nil {
		t.Errorf("with a certificate of another authority: %+v", res)
	}
	plain := dial(t, s)
	plain.say("GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if line := plain.line(); !strings.HasPrefix(line, "HTTP/1.0 400") {
		t.Errorf("without TLS: %q", line)
	}
	cc, err := grpc.NewClient("passthrough:///"+s.config.GRPC.Listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(a.client("alice"))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cc.Close() }()
	live := &oippb.ServerLiveResponse{}
	ctx, cancel := context.WithTimeout(t.Context(), bustest.Wait)
	defer cancel()
	if err := cc.Invoke(ctx, inference+"ServerLive", &oippb.ServerLiveRequest{}, live); err != nil || !live.Live {
		t.Errorf("over gRPC: %v", err)
	}

	before := a.last
	a.issue("server")
	bustest.Until(t, "the new certificate is shown", func() bool {
		res, err := get(a.client("alice"), false)
		return err == nil && res.TLS.PeerCertificates[0].SerialNumber.Int64() > before
	})
}
