package bus

import "time"

// Doubt logs what a core ignored since its epoch cannot be one: at most one line a second.
func (b *Bus) Doubt(what string) {
	if count := b.doubted.Add(time.Now()); count > 0 {
		b.Log.Warn("ignored: nobody else has seen that epoch", "count", count, "latest", what)
	}
}

// MayReplyTo reports whether a client may be answered on a subject, and logs the
// requests for which it may not.
func (b *Bus) MayReplyTo(reply string) bool {
	if reply == "" {
		return false // no answer is expected
	}
	if !b.Subjects.IsClients(reply) {
		if count := b.ignored.Add(time.Now()); count > 0 {
			b.Log.Warn("requests ignored: their reply subject is not a client's", "count", count, "latest", reply)
		}
		return false
	}
	return true
}
