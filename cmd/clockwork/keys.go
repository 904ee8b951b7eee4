package main

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"

	"clockwork/cmd/clockwork/cli"
	"clockwork/pkg/adapter/keys"
	"clockwork/pkg/protocol"
)

type keysCommand struct {
	Dir     string   `arg:"" help:"Directory to write into; what is there stays."`
	Workers []string `name:"worker" env:"-" placeholder:"NAME" help:"A key for the worker of this name, which can speak for no other; by default one for all workers."`
	Clients []string `name:"client" env:"-" placeholder:"NAME" help:"A key for a client of its own; by default one for all clients."`
	TLS     []string `name:"tls" env:"-" placeholder:"HOST" help:"Make certificates as well: the broker's is for these names and addresses."`
	At      string   `env:"-" placeholder:"DIR" help:"Where the broker will find its part, DIR/broker; by default where it is."`
}

// Help describes the result.
func (k *keysCommand) Help() string {
	return `Writes a key for each role (client, gateway, frontdoor, controller, scheduler,
profiler, worker, operator, health), mode 0600, and broker/nats.conf for a broker that
lets each do what its role needs and nothing else. Run it again to add users: keys that
are there stay, and a running broker reads the new ones after SIGHUP. To revoke a key,
remove its file before. Give every process the file of its own key, and no other.`
}

// Run writes a directory of keys.
func (k *keysCommand) Run(c *cli.Flags, con *cli.Console) error {
	if err := k.check(); err != nil {
		return err
	}
	shared := keys.User{Role: keys.Worker}
	changes, err := keys.Write(keys.Config{Dir: k.Dir, Prefix: c.Prefix, Workers: k.Workers, Clients: k.Clients, Hosts: k.TLS, At: k.At})
	if err != nil {
		return err
	}
	if con.JSON {
		if changes == nil {
			changes = []keys.Change{}
		}
		return cli.PrintJSON(con.Out, map[string]any{"dir": k.Dir, "written": changes})
	}
	for _, change := range changes {
		fmt.Fprintf(con.Out, "%-40s %s\n", filepath.Join(k.Dir, change.Path), change.What)
	}
	if len(changes) == 0 {
		fmt.Fprintf(con.Out, "%s is up to date\n", k.Dir)
	}
	users, err := keys.Users(k.Dir)
	if err != nil {
		return err
	}
	if len(k.Workers) > 0 && slices.Contains(users, shared) {
		fmt.Fprintf(con.Out, "Who has %s can still speak for every worker; remove it and run this again.\n", keys.Seed(k.Dir, shared))
	}
	wrote := func(file string) bool {
		return slices.ContainsFunc(changes, func(c keys.Change) bool { return c.Path == file })
	}
	switch {
	case wrote("broker/nats.conf"):
		k.printNext(con, users)
	case wrote("broker/users.conf"):
		fmt.Fprintln(con.Out, "A broker that runs learns of it by SIGHUP.")
	}
	return nil
}

// printNext prints the commands that start a stack with these keys.
func (k *keysCommand) printNext(con *cli.Console, users []keys.User) {
	conf, tls := "nats.conf", ""
	if len(k.TLS) > 0 {
		conf = "nats-tls.conf"
		tls = "\nand each but nats with --tls-ca " + filepath.Join(k.Dir, "tls/ca.pem") + ", --tls-cert and --tls-key " + filepath.Join(k.Dir, "tls/USER.pem") + " and .key"
	}
	worker := keys.User{Role: keys.Worker}
	for _, u := range users {
		if u.Role == keys.Worker {
			worker = u
		}
	}
	name := ""
	if worker.Name != "" {
		name = " --name " + worker.Name
	}
	fmt.Fprintf(con.Out, `
Next, each in a terminal of its own:
  clockwork nats --config %s
  clockwork init --nkey %s
  clockwork controller --nkey %s      and so on
  clockwork worker%s --nkey %s%s
`, keys.Settings(k.Dir, conf), keys.Seed(k.Dir, keys.User{Role: keys.Operator}), keys.Seed(k.Dir, keys.User{Role: keys.Controller}),
		name, keys.Seed(k.Dir, worker), tls)
}

func (k *keysCommand) check() error {
	for flag, role := range map[string]keys.Role{"--worker": keys.Worker, "--client": keys.Client} {
		names := k.Workers
		if role == keys.Client {
			names = k.Clients
		}
		for _, name := range names {
			if err := (keys.User{Role: role, Name: name}).Validate(); err != nil || name == "" {
				return cli.Usagef("%s %q: a name is 1 to %d of [a-z0-9_-], and not %q", flag, name, protocol.MaxName, role)
			}
		}
	}
	for _, host := range k.TLS {
		if host == "" || net.ParseIP(host) == nil && strings.ContainsAny(host, ":/ *") {
			return cli.Usagef("--tls %q: expected a host's name or address, without a port", host)
		}
	}
	return nil
}
