package cli

import (
	"github.com/nats-io/nats.go"

	bus "clockwork/pkg/adapter/nats"
)

// CredentialFlags identify this process to the broker. They are paths, so that no secret
// is where other users of the machine can read it.
type CredentialFlags struct {
	NKey    string `name:"nkey" placeholder:"FILE" help:"File with this process's key, as clockwork keys writes it." group:"Credentials"`
	TLSCA   string `name:"tls-ca" placeholder:"FILE" help:"Certificates that the broker's must come from; with it, the connection is encrypted or not made." group:"Credentials"`
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"This process's own certificate, for a broker that asks for one." group:"Credentials"`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"The key of that certificate." group:"Credentials"`
}

// Credentials returns the paths.
func (f CredentialFlags) Credentials() bus.Credentials {
	return bus.Credentials{NKey: f.NKey, CA: f.TLSCA, Cert: f.TLSCert, Key: f.TLSKey}
}

// Options returns the options of a connection, checked.
func (f CredentialFlags) Options() ([]nats.Option, error) {
	if (f.TLSCert == "") != (f.TLSKey == "") {
		return nil, Usagef("--tls-cert and --tls-key go together")
	}
	options, err := f.Credentials().Options()
	return options, Usage(err)
}

// BusConfig returns the configuration of a process' connection to the broker. A process
// with a key of its own may not create streams and buckets.
func (f *Flags) BusConfig(con *Console, replicas int) (bus.Config, error) {
	if _, err := f.Options(); err != nil {
		return bus.Config{}, err
	}
	return bus.Config{URL: f.NATS, Credentials: f.Credentials(), Bound: f.NKey != "", Prefix: f.Prefix, Replicas: replicas, Log: con.Log}, nil
}
