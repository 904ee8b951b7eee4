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

// healthPart follows a user's inbox prefix where services answer questions after their
// health: many may answer those, and none of them may answer what else the user asks.
const healthPart = ".health."

// HealthInbox returns the inbox for such an answer, of an inbox of the same user.
func HealthInbox(inbox string) string {
	role, name, owned := InboxUser(inbox)
	if !owned || !IsRole(role) {
		return inbox
	}
	prefix := InboxPrefix(role, name)
	return prefix + healthPart + strings.TrimPrefix(inbox, prefix+".")
}

// Asker returns the token by which a user of a broker with roles asks, at the end of the
// subject: a client's name, or the role of one who is no client; "" for a client without a
// name, and for all on a broker without roles. inbox is one of the user's.
func Asker(inbox string) string {
	role, name, owned := InboxUser(inbox)
	switch {
	case !owned || role == "client" && name == "":
		return ""
	case name == "" || role != "client":
		return role
	}
	return name
}

// By returns the subject on which an asker asks what is asked on a subject.
func By(subject, asker string) string {
	if asker == "" {
		return subject
	}
	return subject + "." + asker
}

// IsRole reports whether an asker is no client: clients have other names than roles.
func IsRole(asker string) bool { return slices.Contains(roles, asker) }

// MayAnswer reports whether a message on the subject `asked` may be answered on its reply
// subject: on a broker with roles in the inboxes of the asker whom the subject names.
func (s Subjects) MayAnswer(asked, reply string) bool {
	kind := s.Token(asked, 0)
	switch {
	case !s.isInbox(reply):
		return false
	case kind == "infer" || kind == "lane":
		_, asker := s.Inferred(asked)
		return s.MayAnswerInfer(asker, reply)
	case !s.Roles:
		return true
	}
	switch kind {
	case "ls", "state":
		return ownedBy(reply, s.Token(asked, 1), "client", "operator", "health")
	case "load", "explain":
		return isInboxOf(reply, "operator", "")
	case "health":
		return strings.HasPrefix(reply, InboxPrefix(s.Token(asked, 3), s.Token(asked, 4))+healthPart)
	case "clock":
		return isInboxOf(reply, "worker", s.Token(asked, 1)) || isInboxOf(reply, "worker", "")
	case "scheduler": // join
		return isInboxOf(reply, "controller", "")
	}
	return strings.HasPrefix(asked, "$SRV.") && isInboxOf(reply, "operator", "")
}

// MayAnswerInfer is MayAnswer for a request, by its asker.
func (s Subjects) MayAnswerInfer(asker, reply string) bool {
	if !s.Roles {
		return s.isInbox(reply) && MayReplyTo(asker, reply)
	}
	return s.isInbox(reply) && ownedBy(reply, asker, "client", "operator")
}

// IsClients reports whether anybody who sends requests may be answered on a subject.
func (s Subjects) IsClients(reply string) bool {
	role, _, _ := InboxUser(reply)
	return s.isInbox(reply) && (!s.Roles || role == "client" || role == "operator")
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

// ownedBy reports whether a subject is an inbox of an asker who has one of these roles.
func ownedBy(reply, asker string, mayAsk ...string) bool {
	role, _, owned := InboxUser(reply)
	return owned && Asker(reply) == asker && slices.Contains(mayAsk, role)
}

// isInboxOf reports whether a subject is an inbox of one user; the name of the only user of
// a role may be given as "" or as the role.
func isInboxOf(reply, role, name string) bool {
	return role != "" && strings.HasPrefix(reply, InboxPrefix(role, name)+".")
}
