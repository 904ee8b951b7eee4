// Package grpcapi is the ingress of a gateway for gRPC: the service GRPCInferenceService of
// the Open Inference Protocol v2 with Triton's extensions, grpc.health.v1 and server
// reflection. It reads messages within bounds and frames answers; what they mean stands in
// services/gateway/oip.
//
// Each call, also one with a single message, is registered as a stream, because the library
// receives the message of a unary call before any code of its server runs. What the library
// does not bound, the bytes of messages that are being received and of answers that are not
// read, is bounded below it, at the connection (Conn).
package grpcapi
