// Package gateway is a front door that hears HTTP instead of the broker: the Open Inference
// Protocol v2 with Triton's binary tensors. It routes, reads bodies within bounds and writes
// answers; which requests are admitted, where they run, when they are answered and with which
// code is decided where every front door decides it (services/frontdoor, pkg/core/frontdoor).
// Any number of gateways may run.
package gateway
