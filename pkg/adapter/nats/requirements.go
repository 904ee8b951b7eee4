package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"clockwork/pkg/protocol"
)

// What a service requires of its key and of its broker. What cannot become right by
// waiting ends the service at once, with a reason.

// Identity is who a service is to a broker with roles.
type Identity struct {
	// Role is the role whose key the service needs, "" for any.
	Role string
	// Name is a worker's name.
	Name string
}

// check refuses a key that is another role's, or another worker's. A key whose file does
// not name its inboxes may be anybody's.
func (i Identity) check(c Credentials) error {
	if c.NKey == "" || i.Role == "" {
		return nil
	}
	inbox, err := inboxOf(c.NKey)
	if err != nil {
		return err
	}
	role, name, known := protocol.InboxUser(inbox + ".")
	switch {
	case !known || i.Role == frontDoorRole && role == controllerRole: // a controller runs a front door too
		return nil
	case role != i.Role:
		return fmt.Errorf("the key %s is that of %s, and this service needs one of the role %s", c.NKey, UserText(role, name), i.Role)
	case name != "" && i.Name != "" && name != i.Name:
		return fmt.Errorf("the key %s is that of the %s %s: no other may use it, and this one is called %s (--name)", c.NKey, role, name, i.Name)
	}
	return nil
}

// Roles with a meaning here.
const (
	frontDoorRole  = "frontdoor"
	controllerRole = "controller"
)

// UserText names a user of a broker with roles to people.
func UserText(role, name string) string {
	if name == "" {
		return "the role " + role
	}
	return role + " " + name
}

// KeyText names the owner of an inbox to people, as far as the inbox tells.
func KeyText(inbox string) string {
	role, name, known := protocol.InboxUser(inbox + ".")
	if !known {
		return "this user of the broker"
	}
	return "the key of " + UserText(role, name)
}

// The oldest broker that works: it introduced batched direct reads of a stream.
const (
	brokerMajor = 2
	brokerMinor = 11
)

// checkBroker returns an error for a broker that is too old, that carries too small messages,
// or that has no JetStream.
func (b *Bus) checkBroker(ctx context.Context) error {
	nc := b.Control
	if err := checkVersion(nc); err != nil {
		return err
	}
	if most := nc.MaxPayload(); most < protocol.MinMessage {
		return fmt.Errorf("the broker at %s carries messages of at most %d bytes (max_payload); Clockwork needs %d or more", brokerOf(nc), most, protocol.MinMessage)
	}
	if on, _ := nc.ConnectedServerJetStream(); on || !b.withoutJetStream(ctx) {
		return nil
	}
	return fmt.Errorf("the broker at %s runs without JetStream, which Clockwork needs: start it with nats-server -js, or jetstream {} in its configuration", brokerOf(nc))
}

// checkVersion returns an error for a broker that is too old.
func checkVersion(nc *nats.Conn) error {
	version := nc.ConnectedServerVersion()
	if !tooOld(version) {
		return nil
	}
	return fmt.Errorf("the broker at %s is nats-server %s; Clockwork needs %d.%d or later", brokerOf(nc), version, brokerMajor, brokerMinor)
}

// brokerOf names the broker of a connection to people.
func brokerOf(nc *nats.Conn) string {
	if at := Redacted(nc.ConnectedUrl()); at != "" {
		return at
	}
	return "this process"
}

// withoutJetStream reports whether no server of the broker's cluster has JetStream.
func (b *Bus) withoutJetStream(ctx context.Context) bool {
	attempt, cancel := context.WithTimeout(ctx, storeTry)
	defer cancel()
	_, err := b.JS.Stream(attempt, "KV_"+b.bucket(stateBucket.kind))
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount)
}

// tooOld compares a server's version, such as 2.10.7-beta.1. One that cannot be read is
// not too old.
func tooOld(version string) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	major, err := strconv.Atoi(parts[0])
	if err != nil {
		return false
	}
	minor, err := strconv.Atoi(parts[1])
	return err == nil && (major < brokerMajor || major == brokerMajor && minor < brokerMinor)
}

// OnDenied has denied called when the broker refuses a permission: it says so beside the
// request, which would wait for its answer.
func OnDenied(denied func()) nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			denied()
		}
	})
}

// Denied returns the error of a permission that the broker refused on a connection, nil
// if it refused none. The NATS client else only sees that no answer came.
func Denied(nc *nats.Conn) error {
	if err := nc.LastError(); errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	return nil
}
