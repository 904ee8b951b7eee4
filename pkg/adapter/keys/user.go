package keys

import (
	"fmt"
	"strings"

	"clockwork/pkg/protocol"
)

// Role is the function of a user; deploy/users.conf.tmpl says what each may do.
type Role string

// The roles.
const (
	Client     Role = "client"     // sends requests, sees the served models
	Gateway    Role = "gateway"    // a front door that hears HTTP instead of the broker
	FrontDoor  Role = "frontdoor"  // takes requests and answers them
	Controller Role = "controller" // may do all that a front door may
	Scheduler  Role = "scheduler"
	Profiler   Role = "profiler"
	Worker     Role = "worker"
	Operator   Role = "operator" // loads models, makes streams and buckets
	Health     Role = "health"   // queries the health of services
)

// Roles are all roles, in the order of users.conf.
var Roles = []Role{Client, Gateway, FrontDoor, Controller, Scheduler, Profiler, Worker, Operator, Health}

// named reports whether a role may have several users with names: services of other
// roles replace each other and share one user.
func (r Role) named() bool { return r == Client || r == Worker }

// User is one user of the broker.
type User struct {
	Role Role
	// Name distinguishes users of a role; a worker's is the worker's name. "" is the
	// only user of its role, which several processes may share.
	Name string
}

// ParseUser parses "role" or "role.name".
func ParseUser(text string) (User, error) {
	role, name, _ := strings.Cut(text, ".")
	u := User{Role(role), name}
	if text != u.String() {
		return u, fmt.Errorf("%q is no user: it ends with a dot", text)
	}
	return u, u.Validate()
}

// Validate returns an error that says what is wrong with a user.
func (u User) Validate() error {
	known := false
	for _, r := range Roles {
		known = known || r == u.Role
	}
	switch {
	case !known:
		return fmt.Errorf("%q is no role", u.Role)
	case u.Name == "":
		return nil
	case !u.Role.named():
		return fmt.Errorf("%s has one user, without a name", u.Role)
	case !protocol.ValidName(u.Name):
		return fmt.Errorf("%q is no name: 1 to %d of [a-z0-9_-]", u.Name, protocol.MaxName)
	case u.Name == string(u.Role) || u.Role != Worker && protocol.IsRole(u.Name):
		return fmt.Errorf("%q is the name of a role", u.Name)
	}
	return nil
}

// String returns "worker" or "worker.gpu-1", for example.
func (u User) String() string {
	if u.Name == "" {
		return string(u.Role)
	}
	return string(u.Role) + "." + u.Name
}

// Inbox returns the prefix of the user's reply subjects. The first token decides who may
// publish there, the second separates users of one role.
func (u User) Inbox() string {
	return protocol.InboxPrefix(string(u.Role), u.Name)
}

// self returns the name under which a worker may publish, or a wildcard.
func (u User) self() string {
	if u.Name == "" {
		return "*"
	}
	return u.Name
}

// asker returns the token by which the user asks, with the dot before it; "" for a client
// without a name.
func (u User) asker() string {
	if asker := protocol.Asker(u.Inbox() + "."); asker != "" {
		return "." + asker
	}
	return ""
}

// requests returns where the user publishes requests: one with a name, in its lane.
func (u User) requests(s protocol.Subjects) string {
	if asker := protocol.Asker(u.Inbox() + "."); asker != "" {
		return s.LaneBy("*", asker)
	}
	return s.Infer("*")
}
