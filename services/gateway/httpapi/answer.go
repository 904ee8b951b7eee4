package httpapi

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"clockwork/pkg/protocol"
	"clockwork/pkg/wire"
)

// refuse answers with an error. Its status is that of the code's row (protocol.Codes).
func (c *call) refuse(refusal *protocol.Error) { c.writeError(refusal.Code.Row().Number, refusal) }

// writeError answers with an error of HTTP that may have no code of its own.
func (c *call) writeError(status int, refusal *protocol.Error) {
	if refusal.Retryable {
		c.w.Header().Set("Retry-After", retryAfter(refusal))
	}
	c.write(status, "application/json", wire.EncodeHTTPError(refusal))
}

// retryAfter is in how many seconds a retry has a chance, at least one: HTTP knows no fractions.
func retryAfter(refusal *protocol.Error) string {
	return strconv.Itoa(int(max(1, math.Ceil(refusal.RetryMS/1000))))
}

// say answers with an object.
func (c *call) say(status int, v any) {
	body, err := json.Marshal(v)
	if err != nil { // our own types can always be encoded
		panic(fmt.Sprintf("encode %T: %v", v, err))
	}
	c.write(status, "application/json", body)
}

// write writes an answer, which a client reads within the time for that.
func (c *call) write(status int, contentType string, body []byte) {
	_ = http.NewResponseController(c.w).SetWriteDeadline(time.Now().Add(c.config.AnswerTime))
	c.w.Header().Set("Content-Type", contentType)
	c.w.Header().Set("X-Content-Type-Options", "nosniff")
	c.w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	c.w.WriteHeader(status)
	if _, err := c.w.Write(body); err != nil {
		c.log.Debug("answer not written", "error", err) // the client is gone, or does not read
	}
}
