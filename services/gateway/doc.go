// Package gateway is a front door that hears HTTP instead of the broker, by the Open Inference
// Protocol v2. Which requests are admitted, where they run, when they are answered and with
// which code is decided where every front door decides it (services/frontdoor,
// pkg/core/frontdoor); what the protocol's calls mean stands in services/gateway/oip, and
// services/gateway/httpapi frames it. Any number of gateways may run.
package gateway
