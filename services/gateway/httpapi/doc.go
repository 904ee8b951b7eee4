// Package httpapi is the ingress of a gateway for HTTP: the Open Inference Protocol v2 with
// Triton's binary tensors. It routes, reads bodies within bounds and writes answers; what they
// mean stands in services/gateway/oip.
package httpapi
