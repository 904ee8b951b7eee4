package wire

import (
	"time"

	"clockwork/pkg/protocol"
)

// The values of the key-value store beside those of protocol, as JSON.

// StoredStage is the stage, and since when.
type StoredStage struct {
	Stage protocol.Stage `json:"stage"`
	Since time.Time      `json:"since"`
}

// StoredModel is a model as one of Of that one Load stored. The load counts once
// all of them are there, so that a writer may die between any two.
type StoredModel struct {
	protocol.ModelSpec
	Load string `json:"load,omitempty"`
	Of   int    `json:"of,omitempty"`
}

// StoredQuarantine is why a model is not served.
type StoredQuarantine struct {
	Model  string `json:"model"`
	Reason string `json:"reason"`
}

// StoredLease is what stands in a lease. The nonce tells two lives of a holder
// apart.
type StoredLease struct {
	ID    string `json:"id,omitempty"`
	Host  string `json:"holder"`
	Nonce string `json:"nonce"`
}
