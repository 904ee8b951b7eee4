package bus

import (
	"log/slog"
	"strings"
)

// maxBad bounds what is logged of an error over a bad message, in bytes: it may quote the
// message.
const maxBad = 300

// BadMessage logs that a message cannot be used, as a notice about its kind: whoever sends
// such messages may use any number of subjects. what begins the line, and is a constant.
func (b *Bus) BadMessage(what, subject string, err error) {
	text := err.Error()
	if len(text) > maxBad {
		text = strings.ToValidUTF8(text[:maxBad], "") + "..."
	}
	b.Notice(slog.LevelWarn, what, "", "subject", subject, "error", text)
}
