package grpcapi

import (
	"fmt"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"clockwork/pkg/protocol"
)

// statusCodes are the status codes of gRPC by the names in the table of codes.
var statusCodes = func() map[string]codes.Code {
	byName := map[string]codes.Code{}
	for _, row := range protocol.Codes {
		var c codes.Code
		if err := c.UnmarshalJSON([]byte(strconv.Quote(row.GRPC))); err != nil {
			panic(fmt.Sprintf("code %s: %v", row.Code, err))
		}
		byName[row.GRPC] = c
	}
	return byName
}()

// The keys of the trailers in which a refusal has its code and numbers.
const (
	trailerCode     = "clockwork-code"
	trailerEarliest = "clockwork-earliest-ms"
	trailerBudget   = "clockwork-budget-ms"
	trailerRetry    = "clockwork-retry-ms"
	trailerGot      = "clockwork-got"
	trailerLimit    = "clockwork-limit"
)

// numbers are those of a refusal, by their trailers.
func numbers(e *protocol.Error) []struct {
	trailer, name string
	value         float64
} {
	return []struct {
		trailer, name string
		value         float64
	}{
		{trailerEarliest, "earliest_ms", e.EarliestMS}, {trailerBudget, "budget_ms", e.BudgetMS}, {trailerRetry, "retry_ms", e.RetryMS},
		{trailerGot, "got", float64(e.Got)}, {trailerLimit, "limit", float64(e.Limit)},
	}
}

// maxText bounds the text of a refusal, which goes into a header.
const maxText = 1 << 10

// textOf is a refusal for people: code, sentence and numbers.
func textOf(e *protocol.Error) string {
	text := protocol.ShortText(e.Error(), maxText)
	for _, n := range numbers(e) {
		if n.value != 0 {
			text += fmt.Sprintf("; %s %s", n.name, formatNumber(n.value))
		}
	}
	return text
}

func formatNumber(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// refuse ends a call with a refusal: its status, and in trailers what programs read.
func refuse(stream grpc.ServerStream, e *protocol.Error) error {
	trailers := metadata.Pairs(trailerCode, string(e.Code))
	for _, n := range numbers(e) {
		if n.value != 0 {
			trailers.Set(n.trailer, formatNumber(n.value))
		}
	}
	stream.SetTrailer(trailers)
	return status.Error(statusCodes[e.Code.Row().GRPC], textOf(e))
}
