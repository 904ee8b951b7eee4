package protocol

import "strings"

// A tenant is a client with a name, which the broker vouches for: on
// <p>.infer.<model>.<tenant> nobody else may publish. All who have no name are
// one tenant, "", which people are told as anonymous.

// InferBy is where a tenant's requests for a model go. InferBy(">", "") is
// everybody's.
func (s Subjects) InferBy(model, tenant string) string {
	if tenant == "" {
		return s.Infer(model)
	}
	return s.Infer(model) + "." + tenant
}

// Inferred reads the subject of a request. Neither part need be a valid name,
// but for tenant "", which stands for those without one.
func (s Subjects) Inferred(subject string) (model, tenant string) {
	rest := strings.TrimPrefix(subject, s.Prefix+".infer.")
	model, tenant, _ = strings.Cut(rest, ".")
	return model, tenant
}

// InboxOwner reads whose inbox a subject is. Inboxes of a broker with roles are
// _INBOX_<role>.<name>, or _INBOX_<role>.<role> for the only user of a role, who
// has no name; owned is false for all others.
func InboxOwner(subject string) (name string, owned bool) {
	rest, ok := strings.CutPrefix(subject, "_INBOX_")
	role, rest, dotted := strings.Cut(rest, ".")
	name, _, ends := strings.Cut(rest, ".")
	if !ok || !dotted || !ends {
		return "", false
	}
	if name == role {
		name = ""
	}
	return name, true
}

// MayHear reports whether a tenant may be answered on a subject: in everybody's
// inbox, and of those with an owner in its own alone. Else it could have others
// answered what they did not ask for.
func MayReplyTo(tenant, reply string) bool {
	owner, owned := InboxOwner(reply)
	return !owned || owner == tenant
}
