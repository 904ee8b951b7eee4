package keys

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Lifetimes of certificates, and how long before its end a certificate is renewed when
// the directory is written again.
const (
	authorityLifetime   = 10 * 365 * 24 * time.Hour
	certificateLifetime = 2 * 365 * 24 * time.Hour
	renewBefore         = 60 * 24 * time.Hour
)

const tlsDir = "tls"

var serverPath = filepath.Join(brokerDir, "server")

// authority is the certificate authority that signs all other certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// certificates creates an authority, a certificate for the broker and one for each user,
// unless valid ones exist.
func (w *writer) certificates(users []User, hosts []string) error {
	if err := os.MkdirAll(filepath.Join(w.config.Dir, tlsDir), 0o700); err != nil {
		return err
	}
	a, err := w.authority()
	if err != nil {
		return err
	}
	if err := w.certificate(a, serverPath, hosts); err != nil {
		return err
	}
	for _, u := range users {
		if err := w.certificate(a, filepath.Join(tlsDir, u.String()), nil); err != nil {
			return err
		}
	}
	certificate, err := os.ReadFile(filepath.Join(w.config.Dir, tlsDir, "ca.pem"))
	if err != nil {
		return err
	}
	if err := w.put(filepath.Join(brokerDir, "ca.pem"), certificate, 0o644, "the certificate of Clockwork"); err != nil {
		return err
	}
	at := w.config.At
	if at == "" {
		if at, err = filepath.Abs(filepath.Join(w.config.Dir, brokerDir)); err != nil {
			return err
		}
	}
	body := fmt.Sprintf("# Made by clockwork keys: where the broker's certificate is.\nauthority: %q\ncertificate: %q\ncertificate_key: %q\n",
		filepath.Join(at, "ca.pem"), filepath.Join(at, "server.pem"), filepath.Join(at, "server.key"))
	return w.put(filepath.Join(brokerDir, certificatesFile), []byte(body), 0o644, "where the broker's certificate is")
}

// hosts returns the configured hosts, or those in the broker's existing certificate.
func (w *writer) hosts() ([]string, error) {
	if len(w.config.Hosts) > 0 {
		return w.config.Hosts, nil
	}
	old, _, err := w.read(serverPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	hosts := slices.Clone(old.DNSNames)
	for _, ip := range old.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts, nil
}

func (w *writer) authority() (*authority, error) {
	path := filepath.Join(tlsDir, "ca")
	certificate, key, err := w.read(path)
	if err == nil {
		return &authority{certificate, key}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	template := blank("Clockwork", authorityLifetime)
	template.IsCA, template.BasicConstraintsValid, template.MaxPathLenZero = true, true, true
	template.KeyUsage = x509.KeyUsageCertSign
	if certificate, key, err = w.issue(path, template, nil); err != nil {
		return nil, err
	}
	return &authority{certificate, key}, nil
}

// certificate creates a certificate: a server's names its hosts, and is also a client's,
// since servers of a cluster connect to each other.
func (w *writer) certificate(a *authority, path string, hosts []string) error {
	old, _, err := w.read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	template := blank(filepath.Base(path), certificateLifetime)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if len(hosts) > 0 {
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	if err == nil && time.Until(old.NotAfter) > renewBefore && old.CheckSignatureFrom(a.certificate) == nil && sameHosts(old, template) {
		return nil
	}
	_, _, err = w.issue(path, template, a)
	return err
}

func sameHosts(a, b *x509.Certificate) bool {
	return slices.Equal(a.DNSNames, b.DNSNames) && slices.EqualFunc(a.IPAddresses, b.IPAddresses, net.IP.Equal)
}

// blank returns a certificate template with a name and lifetime.
func blank(name string, life time.Duration) *x509.Certificate {
	now := time.Now()
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), // clocks differ
		NotAfter:  now.Add(life),
	}
}

// issue creates a key and its certificate, signed by a, or by itself if a is nil.
func (w *writer) issue(path string, template *x509.Certificate, a *authority) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, err
	}
	if a == nil {
		a = &authority{template, key}
	}
	body, err := x509.CreateCertificate(rand.Reader, template, a.certificate, key.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	name := template.Subject.CommonName
	if err := w.put(path+".key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600, "the key of "+name+"'s certificate"); err != nil {
		return nil, nil, err
	}
	if err := w.put(path+".pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: body}), 0o644, "the certificate of "+name); err != nil {
		return nil, nil, err
	}
	certificate, err := x509.ParseCertificate(body)
	return certificate, key, err
}

// read reads a certificate and its key.
func (w *writer) read(path string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	path = filepath.Join(w.config.Dir, path)
	body, err := os.ReadFile(path + ".pem")
	if err != nil {
		return nil, nil, err
	}
	secret, err := os.ReadFile(path + ".key")
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode(body)
	keyBlock, _ := pem.Decode(secret)
	if block == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("%s.pem and .key are no certificate and its key", path)
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s.pem: %w", path, err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("%s.key holds no key", path)
	}
	pair, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, nil, fmt.Errorf("%s.key is not of the kind that clockwork keys makes", path)
	}
	if !pair.PublicKey.Equal(certificate.PublicKey) {
		return nil, nil, fmt.Errorf("%s.pem and .key do not belong together; remove both to have them made anew", path)
	}
	return certificate, pair, nil
}
