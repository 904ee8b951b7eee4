package bus

import (
	"testing"

	"clockwork/pkg/protocol"
)

func TestAnErrorReplyCarriesItsCodeInTheHeadersThatNATSToolsShow(t *testing.T) {
	for _, encoding := range []protocol.Encoding{protocol.JSON, protocol.Msgpack} {
		m := ErrorReply(encoding, "inbox", protocol.Errorf(protocol.UnknownModel, "no model is called %q", "x"))
		if got := m.Header.Get(protocol.ErrorCodeHeader); got != "404" || m.Subject != "inbox" {
			t.Errorf("%s: header says %q, want 404", m.Subject, got)
		}
	}
}
