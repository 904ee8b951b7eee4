package wire

import (
	"time"

	"clockwork/pkg/protocol"
)

// JSON values of the key-value store, in addition to the types of protocol.

// StoredStage is the stage, and when it began.
type StoredStage struct {
	Stage protocol.Stage `json:"stage"`
	Since time.Time      `json:"since"`
}

// StoredModel is a model; one Load stores Of of them. The load counts only when all of
// its models are stored, so that a writer may die between any two writes.
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

// StoredLease is the value of a lease. The nonce distinguishes two incarnations of a
// holder.
type StoredLease struct {
	ID    string `json:"id,omitempty"`
	Host  string `json:"holder"`
	Nonce string `json:"nonce"`
}

// StoredClaim is what a worker says of the devices of its host; the key is its name.
// Devices has a proof for each that the worker is on the host of the device.
type StoredClaim struct {
	Held    bool              `json:"held"`
	Devices map[string]string `json:"devices"`
	Nonce   string            `json:"nonce"`
}

// StoredFence names the process that writes the state for a service. Who holds the
// service's lease later has a higher Term.
type StoredFence struct {
	Term   uint64    `json:"term"`
	Holder string    `json:"holder"`
	Since  time.Time `json:"since"`
}
