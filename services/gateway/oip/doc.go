// Package oip is what the Open Inference Protocol means at a gateway, whatever carries it:
// which models there are and how they are described, what a request's budget is, and how a
// request goes through the front door and waits for its answer. The ingresses
// (services/gateway/httpapi, services/gateway/grpcapi) frame it, and decide none of it.
package oip
