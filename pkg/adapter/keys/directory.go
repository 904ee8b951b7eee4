package keys

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/template"

	"github.com/nats-io/nkeys"

	"clockwork/deploy"
	bus "clockwork/pkg/adapter/nats"
	"clockwork/pkg/protocol"
)

// Config is the desired content of a directory of keys.
type Config struct {
	// Dir is the directory; it is created with mode 0700.
	Dir string
	// Prefix of the stack's subjects.
	Prefix string
	// Workers and Clients are names of users to add to the existing ones. Roles without
	// names have one user each; workers share one user, and so do clients, as long as
	// none of them has a name.
	Workers, Clients []string
	// Hosts are the names and addresses of the broker, for its certificate. If empty, an
	// existing certificate keeps its hosts, and without one no certificates are made.
	Hosts []string
	// At is the path at which the broker finds its part of the directory, "" if it is
	// the same path.
	At string
}

// Change is a file that was written.
type Change struct {
	Path string `json:"path"` // below Dir
	What string `json:"what"`
}

// The broker's configuration files; users.conf and certificates.conf are generated, the
// others are copied.
const (
	brokerDir        = "broker"
	usersFile        = "users.conf"
	certificatesFile = "certificates.conf"
	seedSuffix       = ".nk"
)

// Settings returns the path of a broker's configuration: nats.conf, nats-tls.conf or
// nats-cluster-tls.conf.
func Settings(dir, name string) string { return filepath.Join(dir, brokerDir, name) }

var settings = []string{"nats.conf", "nats-tls.conf", "nats-cluster-tls.conf"}

// Write updates a directory and returns the written files: users with an existing file
// stay, other wanted users are added, and users.conf names all.
func Write(c Config) ([]Change, error) {
	w := &writer{config: c}
	if err := w.write(); err != nil {
		return w.changes, fmt.Errorf("write keys: %w", err)
	}
	return w.changes, nil
}

// Users returns the users with a file in a directory, in the order of their roles.
func Users(dir string) ([]User, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var users []User
	for _, e := range entries {
		name, isKey := strings.CutSuffix(e.Name(), seedSuffix)
		if !isKey {
			continue
		}
		u, err := ParseUser(name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Name(), err)
		}
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b User) int {
		if d := slices.Index(Roles, a.Role) - slices.Index(Roles, b.Role); d != 0 {
			return d
		}
		return strings.Compare(a.Name, b.Name)
	})
	return users, nil
}

// Seed returns the path of a user's seed.
func Seed(dir string, u User) string { return filepath.Join(dir, u.String()+seedSuffix) }

type writer struct {
	config  Config
	changes []Change
}

func (w *writer) write() error {
	if err := os.MkdirAll(w.config.Dir, 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(w.config.Dir, brokerDir), 0o755); err != nil {
		return err
	}
	if err := w.samePrefix(); err != nil {
		return err
	}
	wanted, err := w.wanted()
	if err != nil {
		return err
	}
	for _, u := range wanted {
		if err := w.seed(u); err != nil {
			return err
		}
	}
	users, err := Users(w.config.Dir)
	if err != nil {
		return err
	}
	body, err := w.users(users)
	if err != nil {
		return err
	}
	if err := w.put(filepath.Join(brokerDir, usersFile), body, 0o644, "who may do what"); err != nil {
		return err
	}
	for _, name := range settings {
		if err := w.once(filepath.Join(brokerDir, name), func() ([]byte, error) { return deploy.Broker.ReadFile(name) }, 0o644, "settings of a broker"); err != nil {
			return err
		}
	}
	hosts, err := w.hosts()
	if err != nil || len(hosts) == 0 {
		return err
	}
	return w.certificates(users, hosts)
}

// samePrefix refuses to turn the users of one stack into those of another.
func (w *writer) samePrefix() error {
	old, err := os.ReadFile(Settings(w.config.Dir, usersFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for line := range strings.Lines(string(old)) {
		if prefix, ok := strings.CutPrefix(strings.TrimSpace(line), "# prefix: "); ok && prefix != w.config.Prefix {
			return fmt.Errorf("the users in %s are of prefix %s, not of %s", w.config.Dir, prefix, w.config.Prefix)
		}
	}
	return err
}

// wanted returns the users that must exist. If the key of the last named worker was
// removed, no unnamed worker user is created in its place.
func (w *writer) wanted() ([]User, error) {
	there, err := Users(w.config.Dir)
	if err != nil {
		return nil, err
	}
	old, err := os.ReadFile(Settings(w.config.Dir, usersFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var users []User
	for _, role := range Roles {
		names := map[Role][]string{Worker: w.config.Workers, Client: w.config.Clients}[role]
		for _, name := range names {
			users = append(users, User{role, name})
		}
		known := slices.ContainsFunc(there, func(u User) bool { return u.Role == role }) || strings.Contains(string(old), "# "+string(role)+".")
		if len(names) == 0 && !known {
			users = append(users, User{Role: role})
		}
	}
	for _, u := range users {
		if err := u.Validate(); err != nil {
			return nil, err
		}
	}
	return users, nil
}

// seed creates the key of a user, unless it exists.
func (w *writer) seed(u User) error {
	return w.once(u.String()+seedSuffix, func() ([]byte, error) {
		pair, err := nkeys.CreateUser()
		if err != nil {
			return nil, err
		}
		defer pair.Wipe()
		seed, err := pair.Seed()
		if err != nil {
			return nil, err
		}
		return bus.KeyFile(u.String(), u.Inbox(), seed), nil
	}, 0o600, "the key of "+u.String())
}

// entry is one user as the template sees it.
type entry struct {
	User, Key, Inbox string
	Role             Role
	Self             string   // a worker's own name
	Asker            string   // the end of the user's questions, with its dot
	Own              string   // role and name, as in Inbox
	P, B             string   // the prefix of subjects, and of streams
	Requests         string   // where the user publishes requests
	Probe            string   // where a front door's own request is put
	Streams          []string // of the stack

	// StoreKey is the key of the user's second user, who reaches JetStream, and
	// StoreAccount its account; "" for a user without one.
	StoreKey, StoreAccount string
}

// imported is what a user's second user may do with JetStream: a subject there, and the
// one that stands for it in the user's account.
type imported struct{ Subject, Local string }

// store returns what the template says under the name of a user's role.
func (w *writer) store(t *template.Template, e entry) ([]imported, error) {
	var lines strings.Builder
	if err := t.ExecuteTemplate(&lines, string(e.Role)+"-store", e); err != nil {
		return nil, err
	}
	local := protocol.Subjects{Prefix: w.config.Prefix}.Store() + "."
	var all []imported
	for _, subject := range strings.Fields(lines.String()) {
		i := imported{subject, subject}
		if api, is := strings.CutPrefix(subject, "$JS.API."); is {
			i.Local = local + api
		} else if strings.HasPrefix(subject, "$KV.") {
			i.Local = local + subject
		}
		all = append(all, i)
	}
	return all, nil
}

func (w *writer) users(users []User) ([]byte, error) {
	text, err := deploy.Broker.ReadFile(usersFile + ".tmpl")
	if err != nil {
		return nil, err
	}
	t := template.New(usersFile)
	t.Funcs(template.FuncMap{"store": func(e entry) ([]imported, error) { return w.store(t, e) }})
	if _, err := t.Parse(string(text)); err != nil {
		return nil, err
	}
	stores, subjects := protocol.StoreName(w.config.Prefix), protocol.Subjects{Prefix: w.config.Prefix}
	var entries []entry
	for _, u := range users {
		key, second, err := publicKeys(Seed(w.config.Dir, u))
		if err != nil {
			return nil, err
		}
		account := stores + "_store_" + strings.ReplaceAll(u.String(), ".", "_of_")
		if t.Lookup(string(u.Role)+"-store") == nil {
			second, account = "", ""
		}
		entries = append(entries, entry{StoreKey: second, StoreAccount: account, User: u.String(), Key: key, Inbox: u.Inbox(), Role: u.Role, Self: u.self(), Asker: u.asker(), Own: strings.TrimPrefix(u.Inbox(), "_INBOX_"), P: w.config.Prefix, B: stores,
			Requests: u.requests(subjects), Probe: subjects.LaneBy("*", string(FrontDoor)),
			Streams: []string{"KV_" + stores + "_state", "KV_" + stores + "_profile", "KV_" + stores + "_epoch", "KV_" + stores + "_lease", "KV_" + stores + "_worker", "KV_" + stores + "_device", "KV_" + stores + "_health", stores + "_buffer"}})
	}
	var body bytes.Buffer
	from, to := subjects.LaneMapping()
	if err := t.Execute(&body, map[string]any{"Prefix": w.config.Prefix, "B": stores, "Users": entries, "LaneFrom": from, "LaneTo": to}); err != nil {
		return nil, err
	}
	return body.Bytes(), nil
}

// publicKeys reads the public half of a user's key, and that of its second user's. Errors
// do not quote the file's content.
func publicKeys(path string) (first, second string, err error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return "", "", err
	}
	defer clear(body)
	pair, err := nkeys.ParseDecoratedUserNKey(body)
	if err != nil {
		return "", "", fmt.Errorf("%s holds no seed of a user's nkey", path)
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return "", "", err
	}
	defer clear(seed)
	derived, err := bus.StoreKey(seed)
	if err != nil {
		return "", "", err
	}
	defer derived.Wipe()
	if first, err = pair.PublicKey(); err != nil {
		return "", "", err
	}
	second, err = derived.PublicKey()
	return first, second, err
}

// once writes a file if it does not exist.
func (w *writer) once(name string, make func() ([]byte, error), mode fs.FileMode, what string) error {
	if _, err := os.Lstat(filepath.Join(w.config.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	body, err := make()
	if err != nil {
		return err
	}
	return w.put(name, body, mode, what)
}

// put replaces a file atomically, unless it already has that content.
func (w *writer) put(name string, body []byte, mode fs.FileMode, what string) error {
	path := filepath.Join(w.config.Dir, name)
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, body) {
		return nil
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".new-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(temporary.Name()) // after a successful rename the file no longer exists
	_, err = temporary.Write(body)
	if err == nil {
		err = temporary.Chmod(mode)
	}
	if closing := temporary.Close(); err == nil {
		err = closing
	}
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return err
	}
	w.changes = append(w.changes, Change{name, what})
	return nil
}
