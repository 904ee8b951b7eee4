package bus

import (
	"bufio"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/nats-io/nats.go"
)

// Credentials say who a process is, and by whose word it knows its broker. All
// of them are paths, so that no secret stands in arguments, in the environment
// or in a log. The zero value is nobody, on a broker that asks nobody.
type Credentials struct {
	// NKey is a file with the seed of an nkey, as clockwork keys writes it.
	NKey string
	// CA is a file with the certificates that the broker's must come from. With it
	// the connection is encrypted or not made.
	CA string
	// Cert and Key are this process's own certificate, for a broker that asks for
	// one.
	Cert, Key string
}

// inboxLine begins the line of a key's file that says where this user may be
// answered: to everybody else, those subjects are closed.
const inboxLine = "# inbox: "

// KeyFile is what stands in the file of a key: who it is for, where its inboxes
// are, and the seed.
func KeyFile(user, inbox string, seed []byte) []byte {
	return fmt.Appendf(nil, "# Clockwork's key of %s. Who has this file is %s.\n%s%s\n%s\n", user, user, inboxLine, inbox, seed)
}

// Options are the credentials as options of a NATS connection.
func (c Credentials) Options() ([]nats.Option, error) {
	var options []nats.Option
	if c.NKey != "" {
		inbox, err := inboxOf(c.NKey)
		if err != nil {
			return nil, err
		}
		key, err := nats.NkeyOptionFromSeed(c.NKey)
		if err != nil {
			return nil, fmt.Errorf("read key %s: it holds no seed of an nkey", c.NKey)
		}
		options = append(options, key)
		if inbox != "" {
			options = append(options, nats.CustomInboxPrefix(inbox))
		}
	}
	if c.CA != "" {
		if err := readable(c.CA); err != nil {
			return nil, err
		}
		options = append(options, nats.RootCAs(c.CA))
	}
	if (c.Cert == "") != (c.Key == "") {
		return nil, errors.New("a certificate and its key go together")
	}
	if c.Cert != "" {
		for _, path := range []string{c.Cert, c.Key} {
			if err := readable(path); err != nil {
				return nil, err
			}
		}
		options = append(options, nats.ClientCert(c.Cert, c.Key))
	}
	return options, nil
}

// inboxOf reads the prefix of a key's inboxes, "" where its file names none.
func inboxOf(path string) (string, error) {
	if looksLikeSeed(path) {
		return "", errors.New("a seed was given in place of the file that holds it; write it into a file that only its user can read")
	}
	file, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if inbox, ok := strings.CutPrefix(lines.Text(), inboxLine); ok {
			return strings.TrimSpace(inbox), nil
		}
	}
	if err := lines.Err(); err != nil {
		return "", fmt.Errorf("read key %s: %w", path, err)
	}
	return "", nil
}

// looksLikeSeed tells an nkey's seed from a path, which may be shown.
func looksLikeSeed(path string) bool {
	return len(path) > 50 && path[0] == 'S' && !strings.ContainsAny(path, `/\.`)
}

func readable(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read certificate: %w", err)
	}
	return file.Close()
}

// Redacted is a broker's URL, or a list of them, as it may be shown: without
// passwords and tokens. It takes text apart, since what is no URL may hold one.
func Redacted(urls string) string {
	list := strings.Split(urls, ",")
	inside := false // of a password with a comma, whose end stands to the right
	for i := len(list) - 1; i >= 0; i-- {
		scheme, rest, found := strings.Cut(list[i], "://")
		if found = found && !strings.Contains(scheme, ":"); !found {
			scheme, rest = "", list[i]
		} else {
			scheme += "://"
		}
		at := strings.LastIndexByte(rest, '@')
		switch {
		case at >= 0:
			who := "xxxxx"
			if user, _, password := strings.Cut(rest[:at], ":"); password {
				who = user + ":xxxxx"
			}
			list[i] = scheme + who + rest[at:]
		case inside:
			list[i] = scheme + "xxxxx"
		}
		inside = !found && (inside || at >= 0)
	}
	return strings.Join(list, ",")
}

// redactedError is an error of a connection to a broker whose URL may hold a
// password: of what the parser of URLs says, nothing is repeated.
func redactedError(err error) error {
	var wrong *url.Error
	if errors.As(err, &wrong) {
		return errors.New("it is no address of a broker, such as nats://127.0.0.1:4222")
	}
	return err
}

// Connect opens a connection over which no password is told: neither the name nor
// an error of it shows one.
func Connect(urls string, options ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect(urls, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", Redacted(urls), redactedError(err))
	}
	return nc, nil
}
