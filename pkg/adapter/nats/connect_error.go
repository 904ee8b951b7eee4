package bus

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

// connectHint returns which setting would mend a failed connection, "" if none is known.
// Alerts of the broker's side come as text, since they are sent over the network.
func connectHint(err error) string {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var certificate x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	text := err.Error()
	has := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case errors.As(err, &authority):
		return "the broker's certificate was not signed by a known authority: give the right one's with --tls-ca"
	case errors.As(err, &host):
		return "the broker's certificate is not for the host in --nats: use a name that it is for, or make one for this name with clockwork keys --tls"
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return "the broker's certificate has expired, or a clock is wrong: clockwork keys renews it"
	case has("certificate required"):
		return "the broker asks for a certificate of this process: give it with --tls-cert and --tls-key"
	case has("closed by remote after TLS handshake"):
		return "the broker refuses this process: it asks for a certificate that its authority signed: --tls-cert and --tls-key"
	case has("remote error: tls:"):
		return "the broker refuses the certificate of --tls-cert and --tls-key: it has to be signed by the broker's authority, and not expired"
	case errors.As(err, &plain), errors.Is(err, nats.ErrSecureConnWanted), has("secure connection not available"):
		return "the broker does not encrypt this connection: leave out --tls-ca and tls:// if that is meant"
	case errors.Is(err, nats.ErrSecureConnRequired), has("secure connection required"):
		return "the broker wants an encrypted connection: give its authority with --tls-ca"
	case has("root certificate"):
		return "--tls-ca has to name a file with certificates in PEM"
	case has("client certificate"), has("key pair"), has("private key does not match"):
		return "--tls-cert and --tls-key have to name a certificate and its own key, in PEM"
	}
	return ""
}

// refused reports whether a connection failed because of who this process is, or how it
// connects: only somebody who changes that, or the broker, can mend it.
func refused(err error) bool { return errors.Is(err, nats.ErrAuthorization) || IsAboutTLS(err) }

// IsAboutTLS reports whether a connection failed over certificates or encryption; the
// error then says which flag would mend it.
func IsAboutTLS(err error) bool { return err != nil && connectHint(err) != "" }

// hinted adds the hint to a connection's error.
func hinted(err error) error {
	if hint := connectHint(err); hint != "" {
		return fmt.Errorf("%w; %s", err, hint)
	}
	return err
}
