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

// Credentials identify a process to the broker, and the broker to the process. All
// fields are paths, so that no secret is in arguments, in the environment or in a log.
// The zero value is for a broker without authentication.
type Credentials struct {
	// NKey is a file with the seed of an nkey, as clockwork keys writes it.
	NKey string
	// CA is a file with the certificates that must have signed the broker's. If set,
	// unencrypted connections are refused.
	CA string
	// Cert and Key are this process's own certificate, for a broker that requires one.
	Cert, Key string
}

// inboxLine begins the line of a key's file that names the prefix of the user's reply
// subjects: other users may not subscribe there.
const inboxLine = "# inbox: "

// KeyFile returns the content of a key's file: the user, the prefix of its inboxes, and
// the seed.
func KeyFile(user, inbox string, seed []byte) []byte {
	return fmt.Appendf(nil, "# Clockwork's key of %s. Who has this file is %s.\n%s%s\n%s\n", user, user, inboxLine, inbox, seed)
}

// Options returns the credentials as options of a NATS connection.
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

// inbox returns the prefix of the user's inboxes, "" if there is none.
func (c Credentials) inbox() (string, error) {
	if c.NKey == "" {
		return "", nil
	}
	return inboxOf(c.NKey)
}

// inboxOf returns the prefix of a key's inboxes, "" if its file names none.
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

// looksLikeSeed distinguishes an nkey's seed from a path: a path may be shown.
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

// Redacted returns a broker's URL, or a list of URLs, without passwords and tokens. It
// splits the text itself, since an invalid URL may also contain a password.
func Redacted(urls string) string {
	list := strings.Split(urls, ",")
	inside := false // a password with a comma, whose end is to the right
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

// redactedError hides the URL in a connection error, which may contain a password: it
// quotes nothing of the URL parser's message.
func redactedError(err error) error {
	var wrong *url.Error
	if errors.As(err, &wrong) {
		return errAddress
	}
	return err
}

// Connect opens a connection; neither the connection's name nor an error contains a
// password.
func Connect(urls string, options ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect(urls, options...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", Redacted(urls), hinted(redactedError(err)))
	}
	return nc, nil
}
