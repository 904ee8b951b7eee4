package grpcapi

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"clockwork/pkg/protocol"
)

// trailers keeps what a call is ended with.
type trailers struct {
	grpc.ServerStream
	metadata.MD
}

func (t *trailers) SetTrailer(md metadata.MD) { t.MD = metadata.Join(t.MD, md) }
func (t *trailers) Context() context.Context  { return context.Background() }

// TestEveryCodeHasItsGRPCStatus walks the table of codes. UNAVAILABLE, which clients send
// again at once, is that of a gateway that starts or stops alone.
func TestEveryCodeHasItsGRPCStatus(t *testing.T) {
	for _, row := range protocol.Codes {
		if row.Code == protocol.OK {
			continue
		}
		var call trailers
		refusal := protocol.Refusal(row.Code)
		refusal.EarliestMS = 1.5
		got := status.Convert(refuse(&call, refusal))
		if strings.ReplaceAll(row.GRPC, "_", "") != strings.ToUpper(strings.Replace(got.Code().String(), "Canceled", "Cancelled", 1)) || got.Code() == codes.OK || got.Code() == codes.Unknown {
			t.Errorf("%s: %v, want %s", row.Code, got.Code(), row.GRPC)
		}
		if call.Get(trailerCode)[0] != string(row.Code) || call.Get(trailerEarliest)[0] != "1.5" || call.Get(trailerBudget) != nil {
			t.Errorf("%s: %v", row.Code, call.MD)
		}
		if unavailable := row.Code == protocol.ShuttingDown || row.Code == protocol.StateUnavailable; (got.Code() == codes.Unavailable) != unavailable {
			t.Errorf("%s: %v", row.Code, got.Code())
		}
	}
}
