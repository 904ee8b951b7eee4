package keys

import (
	"fmt"
	"strings"

	"clockwork/pkg/protocol"
)

// Role is what a user is for; deploy/users.conf.tmpl says what each may do.
type Role string

// The roles.
const (
	Client     Role = "client"     // sends requests, sees what is served
	Gateway    Role = "gateway"    // a client on behalf of others
	Controller Role = "controller" // also the front door
	Scheduler  Role = "scheduler"
	Profiler   Role = "profiler"
	Worker     Role = "worker"
	Operator   Role = "operator" // loads models, makes streams and buckets
	Health     Role = "health"   // asks whether services are well
)

// Roles are all of them, as they stand in users.conf.
var Roles = []Role{Client, Gateway, Controller, Scheduler, Profiler, Worker, Operator, Health}

// named says of which roles there may be several users with names of their own:
// services of one kind stand in for each other, so they are one.
func (r Role) named() bool { return r == Client || r == Gateway || r == Worker }

// User is one user of the broker.
type User struct {
	Role Role
	// Name tells users of a role apart: of a worker it is the worker's. "" is the
	// only user of its role, whom several processes may share.
	Name string
}

// ParseUser reads "role" or "role.name".
func ParseUser(text string) (User, error) {
	role, name, _ := strings.Cut(text, ".")
	u := User{Role(role), name}
	if text != u.String() {
		return u, fmt.Errorf("%q is no user: it ends with a dot", text)
	}
	return u, u.Validate()
}

// Validate reports what is wrong with a user.
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
	case u.Name == string(u.Role):
		return fmt.Errorf("%q is the name of the role", u.Name)
	}
	return nil
}

// String is "worker" or "worker.gpu-1".
func (u User) String() string {
	if u.Name == "" {
		return string(u.Role)
	}
	return string(u.Role) + "." + u.Name
}

// Inbox is the prefix of the subjects on which this user is answered. The first
// token tells who may answer there, the second keeps users of one role apart.
func (u User) Inbox() string {
	name := u.Name
	if name == "" {
		name = string(u.Role)
	}
	return "_INBOX_" + string(u.Role) + "." + name
}

// self is the name under which a worker may speak.
func (u User) self() string {
	if u.Name == "" {
		return "*"
	}
	return u.Name
}

// asks is what the subjects of this user's requests end with: any model, and its
// own name if it has one, by which front doors know it.
func (u User) asks() string {
	if u.Name == "" {
		return "*"
	}
	return "*." + u.Name
}
