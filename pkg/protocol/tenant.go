package protocol

import "strings"

// A tenant is a client with a name, which the broker verifies: no other client may
// publish on <p>.infer.<model>.<tenant>. All clients without a name are one tenant, "",
// which is shown to people as anonymous.

// InferBy returns the subject of a tenant's requests for a model. InferBy(">", "")
// covers all tenants.
func (s Subjects) InferBy(model, tenant string) string {
	if tenant == "" {
		return s.Infer(model)
	}
	return s.Infer(model) + "." + tenant
}

// Inferred returns the model and tenant in the subject of a request. Either may be an
// invalid name; tenant is "" for clients without a name. The subject may be one of a lane.
func (s Subjects) Inferred(subject string) (model, tenant string) {
	rest, in := s.inLane(subject)
	if !in {
		rest = strings.TrimPrefix(subject, s.Prefix+".infer.")
	}
	model, tenant, _ = strings.Cut(rest, ".")
	return model, tenant
}

// InboxOwner returns the owner of an inbox subject. Inboxes of a broker with roles are
// _INBOX_<role>.<name>, or _INBOX_<role>.<role> for the only user of a role, who has no
// name; owned is false for all other subjects.
func InboxOwner(subject string) (name string, owned bool) {
	_, name, owned = InboxUser(subject)
	return name, owned
}

// InboxUser returns the role and the name of an inbox's owner, as InboxOwner does.
func InboxUser(subject string) (role, name string, owned bool) {
	rest, ok := strings.CutPrefix(subject, "_INBOX_")
	role, rest, dotted := strings.Cut(rest, ".")
	name, _, ends := strings.Cut(rest, ".")
	if !ok || !dotted || !ends {
		return "", "", false
	}
	if name == role {
		name = ""
	}
	return role, name, true
}

// MayReplyTo reports whether a tenant may be answered on a subject: on any subject
// without an owner, and otherwise only in its own inbox. Without this check a tenant
// could send replies to others.
func MayReplyTo(tenant, reply string) bool {
	owner, owned := InboxOwner(reply)
	return !owned || owner == tenant
}
