package protocol

import (
	"slices"
	"strings"
)

// Who may be answered where. The broker checks on which subject a message is published,
// but not its reply subject: whoever may ask a service anything could make the service
// speak wherever the service may. Services therefore answer inboxes alone, and on a broker
// with roles only the inboxes of those who may ask.

// RoleOf returns the role of the user that an inbox prefix belongs to, "" if it belongs to
// none of a broker with roles.
func RoleOf(prefix string) string {
	role, _, _ := strings.Cut(strings.TrimPrefix(prefix, "_INBOX_"), ".")
	if !strings.HasPrefix(prefix, "_INBOX_") || !slices.Contains(roles, role) {
		return ""
	}
	return role
}

var roles = []string{"client", "gateway", "frontdoor", "controller", "scheduler", "profiler", "worker", "operator", "health"}

// InboxPrefix returns the prefix of the inboxes of a user of a broker with roles. The
// user's name is "" for the only user of its role.
func InboxPrefix(role, name string) string {
	if name == "" {
		name = role
	}
	return "_INBOX_" + role + "." + name
}

// MayAnswer reports whether a message on the subject `asked` may be answered on its reply
// subject.
func (s Subjects) MayAnswer(asked, reply string) bool {
	if !s.isInbox(reply) {
		return false
	}
	if strings.HasPrefix(asked, s.Prefix+".infer.") {
		_, tenant := s.Inferred(asked)
		return s.MayAnswerInfer(tenant, reply)
	}
	if !s.Roles {
		return true
	}
	switch s.Token(asked, 0) {
	case "ls":
		return ownedBy(reply, "client", "gateway", "operator")
	case "state":
		return ownedBy(reply, "client", "gateway", "operator", "health")
	case "load", "explain":
		return ownedBy(reply, "operator")
	case "health":
		return ownedBy(reply, "operator", "health") || ownedBy(reply, rolesOf(ServiceKind(s.Token(asked, 1)))...)
	case "clock":
		return ownedBy(reply, "worker") && ownerIs(reply, s.Token(asked, 1), "")
	case "scheduler": // join
		return ownedBy(reply, "controller")
	}
	return strings.HasPrefix(asked, "$SRV.") && ownedBy(reply, "operator")
}

// MayAnswerInfer is MayAnswer for a request of a tenant.
func (s Subjects) MayAnswerInfer(tenant, reply string) bool {
	return s.IsClients(reply) && MayReplyTo(tenant, reply)
}

// IsClients reports whether a client may be answered on a subject.
func (s Subjects) IsClients(reply string) bool {
	return s.isInbox(reply) && (!s.Roles || ownedBy(reply, "client", "gateway", "operator"))
}

// isInbox reports whether a subject is none of the stack or the broker, and valid.
func (s Subjects) isInbox(reply string) bool {
	if reply == "" || reply[0] == '$' || reply[0] == '.' || reply[len(reply)-1] == '.' || strings.HasPrefix(reply, s.Prefix+".") {
		return false
	}
	if strings.HasPrefix(reply, "_R_.") || strings.Contains(reply, "..") || strings.ContainsAny(reply, "*>") {
		return false
	}
	return !strings.ContainsFunc(reply, func(r rune) bool { return r <= ' ' || r == 0x7f })
}

// rolesOf returns the roles in which a kind of service runs.
func rolesOf(kind ServiceKind) []string {
	if kind == FrontDoor {
		return []string{"frontdoor", "controller"}
	}
	return []string{string(kind)}
}

// ownedBy reports whether a subject is an inbox of one of these roles.
func ownedBy(reply string, roles ...string) bool {
	rest, ok := strings.CutPrefix(reply, "_INBOX_")
	role, _, dotted := strings.Cut(rest, ".")
	return ok && dotted && slices.Contains(roles, role)
}

// ownerIs reports whether a subject is an inbox of a user with one of these names.
func ownerIs(reply string, names ...string) bool {
	owner, owned := InboxOwner(reply)
	return owned && slices.Contains(names, owner)
}
